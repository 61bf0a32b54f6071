"""Evaluate a trained model: six metrics per trait with 95 % intervals, and baselines."""

import argparse
from pathlib import Path

from pipeline.commands.arguments import (
    add_features,
    add_model,
    add_path,
    add_split,
    add_verbose,
    check_model,
    feature_overrides,
)
from pipeline.commands.next_steps import after_evaluation, print_next
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK

TAKES_OVERRIDES = False
EPILOG = "Give --run_dir or --model_uri. Without feature options, the features of the run are used."

_MODEL_OUTPUT_DIR = Path("results/evaluation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_model(parser)
    add_features(parser)
    add_split(parser)
    parser.add_argument(
        "--by", default="", help="columns of clips.csv that define subgroups, separated by commas"
    )
    add_verbose(parser)
    add_path(
        parser,
        "output_dir",
        "directory for the results; with this option, the run and MLflow do not change (default: "
        f"the run directory; with --model_uri: {_MODEL_OUTPUT_DIR})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.commands.project_run import record_result
    from pipeline.commands.results import print_evaluation
    from pipeline.config.loading import load_config
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    check_model(arguments)
    overrides = feature_overrides(arguments)
    data = load_config(None, overrides).data if overrides else None
    by = tuple(column for column in arguments.by.split(",") if column)
    import_tensorflow_quietly(runs_user_code=False)
    from pipeline.tracking.descriptions import describe_report
    from pipeline.workflows.evaluate import evaluate_model, evaluate_run, report_metrics

    if arguments.run_dir is not None:
        evaluation = evaluate_run(
            arguments.run_dir, data, split=arguments.split, by=by, output_dir=arguments.output_dir
        )
    else:
        evaluation = evaluate_model(
            arguments.model_uri,
            data,
            split=arguments.split,
            by=by,
            output_dir=arguments.output_dir or _MODEL_OUTPUT_DIR,
        )
    print_evaluation(evaluation, is_verbose=arguments.verbose == "true", shows_subgroups=bool(by))
    print_next(after_evaluation(run_dir=arguments.run_dir, model_uri=arguments.model_uri))
    model = arguments.model_uri or arguments.run_dir.resolve().name
    record_result(
        f"evaluate {model} on {arguments.split}",
        f"Model: `{arguments.model_uri or arguments.run_dir}`\n\n"
        + describe_report(evaluation.report, evaluation.traits),
        metrics=report_metrics(evaluation.report),
        paths=[evaluation.report_path],
    )
    return EXIT_INCOMPLETE if evaluation.undelivered else EXIT_OK
