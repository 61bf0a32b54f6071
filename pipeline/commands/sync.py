"""Send missing results of a run directory to MLflow."""

import argparse

from pipeline.commands.arguments import add_path
from pipeline.core.errors import EXIT_OK, ConfigError

TAKES_OVERRIDES = False
EPILOG = "The command can be repeated: MLflow still contains each value only once."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "run_dir", "run directory to send")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.run_dir is None:
        raise ConfigError("Give the run directory to send: --run_dir RUN.")
    from pipeline.commands.project_run import record_result
    from pipeline.commands.tables import print_line
    from pipeline.core.run_directory import open_run_directory
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    open_run_directory(arguments.run_dir)
    import_tensorflow_quietly(runs_user_code=False)
    from pipeline.workflows.sync import sync_run

    link = sync_run(arguments.run_dir)
    result = f"{arguments.run_dir}: sent to {link.tracking_uri}, run {link.run_id}."
    print_line(result)
    record_result(f"sync {arguments.run_dir.resolve().name}", result)
    return EXIT_OK
