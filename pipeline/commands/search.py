"""Search for better settings with Optuna: many workers, resumable, compared with the default.

Trials are nested MLflow runs; the same command goes on with a study that was stopped.
"""

import argparse

from pipeline.commands.arguments import (
    add_features,
    feature_overrides,
    optional_count,
    optional_path,
    with_environment,
)
from pipeline.commands.demo import DEMO_CONFIG, DEMO_SPACE
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

TAKES_OVERRIDES = True
EPILOG = (
    "Without any file the built-in data set is searched. How to search is configured as any "
    "setting is, for instance --search.pruner median or --search.num_folds 5; what to search is "
    "the space's to say."
)

_NUM_TRIALS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    parser.add_argument("--config", type=optional_path, default=None, help="experiment file")
    parser.add_argument("--space", type=optional_path, default=None, help="file of the space")
    add_features(parser)
    parser.add_argument(
        "--num_trials",
        type=optional_count,
        default=None,
        help=f"trials of the study in all (default: {_NUM_TRIALS}, or what the time allows)",
    )
    parser.add_argument(
        "--timeout_minutes",
        type=_optional_minutes,
        default=None,
        help="time after which no trial is begun",
    )
    parser.add_argument(
        "--num_workers",
        type=optional_count,
        default=None,
        help="trials at a time (default: one a core, at most 8)",
    )
    parser.add_argument(
        "--storage",
        default="",
        help="database URL (default: a SQLite file in the run directory); its password may be in "
        "the variable PGPASSWORD instead",
    )
    parser.add_argument("--study", default="", help="name of the study")
    parser.add_argument(
        "--run_dir", type=optional_path, default=None, help="where the study is kept"
    )
    parser.add_argument(
        "--engine", default="local", choices=("local", "ray"), help="where workers run"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.commands.tables import print_line, print_search
    from pipeline.config.loading import load_config

    overrides = feature_overrides(arguments)
    if arguments.config is None and arguments.space is None and not overrides:
        arguments.config, arguments.space = DEMO_CONFIG, DEMO_SPACE
    if arguments.space is None:
        raise ConfigError("Give the space to search: --space experiments/search/FILE.yaml.")
    config = load_config(arguments.config, with_environment({**overrides, **arguments.overrides}))
    from pipeline.search.run import SearchOptions, run_search

    num_trials = arguments.num_trials
    if num_trials is None and arguments.timeout_minutes is None:
        num_trials = _NUM_TRIALS
    options = SearchOptions(
        num_trials=num_trials,
        timeout_minutes=arguments.timeout_minutes,
        num_workers=arguments.num_workers,
        storage=arguments.storage,
        study=arguments.study,
        run_dir=arguments.run_dir,
        engine=arguments.engine,
    )
    try:
        outcome = run_search(config, arguments.space, options)
    except KeyboardInterrupt:
        print_line("What is finished is kept. Go on with the same command.")
        raise
    print_search(outcome)
    return EXIT_INCOMPLETE if outcome.undelivered else EXIT_OK


def _optional_minutes(text: str) -> float | None:
    """Read a time above 0; an empty text is none."""
    if not text:
        return None
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"expected minutes above 0; got {text!r}")
    return minutes
