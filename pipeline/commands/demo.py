"""Train and evaluate on the built-in data set, whose best possible score is known."""

import argparse
from pathlib import Path
from typing import Final

import pipeline
from pipeline.commands.arguments import add_path
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK

TAKES_OVERRIDES = True
EPILOG = "No data are needed: the built-in set is generated in features/demo."

_PACKAGE: Final = Path(pipeline.__file__).resolve().parent
_INSTALLED: Final = _PACKAGE / "experiments"
_EXPERIMENTS: Final = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "experiments"
DEMO_CONFIG: Final = _EXPERIMENTS / "demo.yaml"
DEMO_SPACE: Final = _EXPERIMENTS / "search" / "demo.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "run_dir", "new run directory (default: a new one in runs/)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.commands.tables import print_ceiling, print_device, print_groups, print_training
    from pipeline.config.loading import load_config
    from pipeline.config.run_name import default_run_name
    from pipeline.core.tensorflow_import import import_tensorflow_quietly
    from pipeline.workflows.features import open_features
    from pipeline.workflows.new_run import with_environment

    overrides = with_environment(arguments.overrides)
    config = load_config(DEMO_CONFIG, overrides)
    name = default_run_name(config, load_config(DEMO_CONFIG))
    features = open_features(config.data)
    print_groups(features)
    import_tensorflow_quietly()
    print_device()
    from pipeline.tracking.project_run import discard_run
    from pipeline.workflows.train import run_training

    # `mlflow run .` uses the experiment Default if the user has chosen none.
    discard_run(only_in_default=True)
    finished = run_training(config, run_dir=arguments.run_dir, features=features, run_name=name)
    print_training(finished)
    print_ceiling(finished)
    return EXIT_INCOMPLETE if finished.undelivered else EXIT_OK
