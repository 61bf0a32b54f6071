"""Train and evaluate on the built-in data set, whose best possible score is known."""

import argparse
from typing import Final

from pipeline.commands.arguments import add_path, add_verbose
from pipeline.commands.next_steps import after_demo, print_next
from pipeline.config.experiment_files import experiments_dir
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK

TAKES_OVERRIDES = True
EPILOG = "No data are needed: the built-in set is generated in features/demo."

DEMO_CONFIG: Final = experiments_dir() / "demo.yaml"
DEMO_SPACE: Final = experiments_dir() / "search" / "demo.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "run_dir", "new run directory (default: a new one in runs/)")
    add_verbose(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.commands.results import print_training
    from pipeline.commands.tables import print_groups
    from pipeline.commands.tracked_training import train_tracked
    from pipeline.config.loading import load_config
    from pipeline.config.run_name import default_run_name
    from pipeline.workflows.features import open_features
    from pipeline.workflows.new_run import with_environment

    overrides = with_environment(arguments.overrides)
    config = load_config(DEMO_CONFIG, overrides)
    name = default_run_name(config, load_config(DEMO_CONFIG))
    features = open_features(config.data)
    print_groups(features)
    finished = train_tracked(config, run_dir=arguments.run_dir, features=features, run_name=name)
    print_training(finished, is_verbose=arguments.verbose == "true")
    print_next(after_demo(finished.run))
    return EXIT_INCOMPLETE if finished.undelivered else EXIT_OK
