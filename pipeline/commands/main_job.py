"""Train and evaluate on the built-in data set, whose best possible score is known."""

import argparse

from pipeline.commands.arguments import optional_path, with_environment
from pipeline.commands.demo import DEMO_CONFIG
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK

TAKES_OVERRIDES = True
EPILOG = "Needs no data: the built-in set is generated in features/demo."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    parser.add_argument("--run_dir", type=optional_path, default=None, help="where the run is kept")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.commands.tables import print_ceiling, print_device, print_training
    from pipeline.config.loading import load_config
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    config = load_config(DEMO_CONFIG, with_environment(arguments.overrides))
    import_tensorflow_quietly()
    print_device()
    from pipeline.workflows.train import run_training

    finished = run_training(config, run_dir=arguments.run_dir)
    print_training(finished)
    print_ceiling(finished)
    return EXIT_INCOMPLETE if finished.undelivered else EXIT_OK
