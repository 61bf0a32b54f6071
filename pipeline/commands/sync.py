"""Deliver to MLflow what a run directory has and MLflow does not."""

import argparse

from pipeline.commands.arguments import optional_path
from pipeline.core.errors import EXIT_OK, ConfigError

TAKES_OVERRIDES = False
EPILOG = "Sending again does no harm: points carry the times at which they were measured."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    parser.add_argument("--run_dir", type=optional_path, default=None, help="run to deliver")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.run_dir is None:
        raise ConfigError("Give the run to deliver: --run_dir RUN.")
    from pipeline.commands.tables import print_line
    from pipeline.core.run_directory import open_run_directory
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    open_run_directory(arguments.run_dir)  # before TensorFlow is waited for
    import_tensorflow_quietly()
    from pipeline.workflows.sync import sync_run

    link = sync_run(arguments.run_dir)
    print_line(f"{arguments.run_dir}: delivered to {link.tracking_uri}, run {link.run_id}.")
    return EXIT_OK
