"""MLflow stores of the campaign; the launcher calls these functions in a child."""

import os

_HOST = "127.0.0.1"


def create(argv: list[str]) -> int:
    """Create an empty SQLite store at a path."""
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{argv[0]}").search_experiments(max_results=1)
    return 0


def serve(argv: list[str]) -> int:
    """Serve the store `mlflow.db` of the working directory on a port, as `mlflow server` does."""
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
