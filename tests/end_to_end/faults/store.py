"""Functions that create and serve MLflow stores in a child process of the launcher."""

import os

_HOST = "127.0.0.1"


def create(argv: list[str]) -> int:
    """Create an empty SQLite store; the argument is its path."""
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{argv[0]}").search_experiments(max_results=1)
    return 0


def serve(argv: list[str]) -> int:
    """Serve `mlflow.db` in the working directory like `mlflow server`; the argument is the port."""
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{os.path.abspath('mlflow.db')}",  # noqa: PTH100
        "_MLFLOW_SERVER_REGISTRY_STORE": f"sqlite:///{os.path.abspath('mlflow.db')}",  # noqa: PTH100
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": os.path.abspath("artifacts"),  # noqa: PTH100
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    import uvicorn
    from mlflow.server.fastapi_app import app

    uvicorn.run(app, host=_HOST, port=int(argv[0]), log_level="critical")
    return 0
