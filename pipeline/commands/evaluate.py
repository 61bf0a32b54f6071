"""Judge a trained model: six metrics per trait with 95 % intervals, beside its baselines."""

import argparse
from pathlib import Path

from pipeline.commands.arguments import add_features, add_split, feature_overrides, optional_path
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

TAKES_OVERRIDES = False
EPILOG = "Without features, those of the run are used. Give --run_dir or --model_uri."

_MODEL_OUTPUT_DIR = Path("results/evaluation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    parser.add_argument("--run_dir", type=optional_path, default=None, help="run to evaluate")
    parser.add_argument("--model_uri", default="", help="model in MLflow, e.g. models:/NAME/1")
    add_features(parser)
    add_split(parser)
    parser.add_argument(
        "--output_dir",
        type=optional_path,
        default=None,
        help="where files go; with --run_dir, the run and MLflow are left as they are (default: "
        f"the run; with --model_uri {_MODEL_OUTPUT_DIR})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if (arguments.run_dir is None) == (not arguments.model_uri):
        raise ConfigError("Give either --run_dir RUN or --model_uri URI, and not both.")
    from pipeline.commands.tables import print_evaluation, print_line
    from pipeline.config.loading import load_config
    from pipeline.core.run_directory import open_run_directory
    from pipeline.core.tensorflow_import import import_tensorflow_quietly

    overrides = feature_overrides(arguments)
    data = load_config(None, overrides).data if overrides else None
    by = tuple(column for column in arguments.by.split(",") if column)
    if arguments.run_dir is not None:
        open_run_directory(arguments.run_dir)  # before TensorFlow is waited for
    import_tensorflow_quietly()
    from pipeline.workflows.evaluate import evaluate_model, evaluate_run

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
    print_evaluation(evaluation)
    if evaluation.outdated_report is not None:
        print_line(
            f"{evaluation.outdated_report}: tells of the evaluation before; "
            f"`python -m pipeline visualize --run_dir {arguments.run_dir}` draws it anew."
        )
    return EXIT_INCOMPLETE if evaluation.undelivered else EXIT_OK
