"""Search for better settings with Optuna, and compare them with the default settings.

Trials are nested MLflow runs. The same command continues a stopped study.
"""

import argparse
import dataclasses

from pipeline.commands.arguments import (
    add_engine,
    add_features,
    add_num_workers,
    add_path,
    feature_overrides,
    optional_count,
)
from pipeline.commands.demo import DEMO_CONFIG, DEMO_SPACE
from pipeline.config.experiment_files import DEFAULT_SPACE
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK

TAKES_OVERRIDES = True
EPILOG = (
    "The same command continues a stopped study. Without --config, --space and features, the demo "
    "space is searched on the built-in data set. The search has settings with dotted names, for "
    "instance --search.pruner median. The space file lists the settings to search. At the end, "
    "search/best.yaml contains the recommended configuration: the best trial if it is better than "
    "the default on clips that no trial used, else the default. The model is registered only with "
    "--tracking.registered_model NAME."
)

_NUM_TRIALS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "config", "experiment: file (.yaml) or name, for instance first_impressions")
    add_path(
        parser,
        "space",
        f"search space: file (.yaml) or name (default: {DEFAULT_SPACE}, with the size of the "
        "model, dropout and the optimizer)",
    )
    add_features(parser)
    parser.add_argument(
        "--num_trials",
        type=optional_count,
        default=None,
        help="total number of trials of the study, including earlier calls (default: "
        f"{_NUM_TRIALS}; no limit with --timeout_minutes)",
    )
    parser.add_argument(
        "--timeout_minutes",
        type=_optional_minutes,
        default=None,
        help="time limit for the start of new trials, in minutes (default: no limit)",
    )
    add_num_workers(parser, "number of parallel trials (default: one per core, at most 8)")
    parser.add_argument(
        "--storage",
        default="",
        help="database URL (default: a SQLite file in the run directory); give a password in "
        "the environment variable PGPASSWORD",
    )
    parser.add_argument(
        "--study", default="", help="name of the study (default: names of configuration and space)"
    )
    add_path(parser, "run_dir", "run directory of the study (default: runs/STUDY)")
    add_engine(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.commands.tables import print_line, print_search
    from pipeline.config.loading import load_config
    from pipeline.workflows.new_run import with_environment

    overrides = feature_overrides(arguments)
    if arguments.config is None and arguments.space is None and not overrides:
        arguments.config, arguments.space = DEMO_CONFIG, DEMO_SPACE
    space_path = arguments.space or DEFAULT_SPACE
    overrides = with_environment({**overrides, **arguments.overrides})
    config = load_config(arguments.config, overrides)
    given = overrides if arguments.config is None else None
    from pipeline.search.run import SearchOptions, run_search

    if arguments.num_trials is None and arguments.timeout_minutes is None:
        arguments.num_trials = _NUM_TRIALS
    names = [field.name for field in dataclasses.fields(SearchOptions)]
    options = SearchOptions(**{name: getattr(arguments, name) for name in names})
    try:
        outcome = run_search(config, space_path, options, given=given, report=print_line)
    except KeyboardInterrupt:
        print_line("Finished trials are kept. Give the same command to continue.")
        raise
    print_search(outcome)
    return EXIT_INCOMPLETE if outcome.undelivered else EXIT_OK


def _optional_minutes(text: str) -> float | None:
    if not text:
        return None
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"expected minutes above 0; got {text!r}")
    return minutes
