"""Check the installation: run a short demo and check every output file."""

import argparse

from pipeline.commands.arguments import add_path
from pipeline.core.errors import EXIT_FAULT, EXIT_OK, ConfigError

TAKES_OVERRIDES = True
EPILOG = (
    "The demo takes about a minute. Only the results file is kept. With `mlflow run`, the MLflow "
    "run also contains this file."
)

_SHORT = {"training.num_epochs": "3"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "output", "JSON file for the results (default: test_results.json)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import tempfile
    from pathlib import Path

    from pipeline.commands.demo import DEMO_CONFIG
    from pipeline.commands.project_run import record_result
    from pipeline.commands.tables import print_checks
    from pipeline.config.loading import load_config
    from pipeline.core.files import why_unwritable
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    config = load_config(DEMO_CONFIG, {**_SHORT, **arguments.overrides})
    import_tensorflow_quietly(runs_user_code=False)
    from pipeline.tracking.store import local_store
    from pipeline.workflows.verify import RESULTS_FILE, verify_installation, write_results

    output = (arguments.output or Path(RESULTS_FILE)).absolute()
    if reason := why_unwritable(output):
        raise ConfigError(reason)
    # On Windows, the store cannot be deleted while it is open, so such errors are ignored.
    temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with temporary as directory, local_store(Path(directory)):
        checks = verify_installation(config, Path(directory))
    write_results(output, checks)
    print_checks(checks, output)
    num_failed = sum(bool(check.fault) for check in checks)
    result = f"{len(checks) - num_failed} checks passed, {num_failed} failed"
    record_result(f"verify: {result}", f"Checks of the installation: {result}.", paths=[output])
    return EXIT_FAULT if num_failed else EXIT_OK
