"""Score new clips: five traits with 90 % prediction intervals, from features or recordings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import (
    add_features,
    feature_overrides,
    optional_count,
    optional_path,
)
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

if TYPE_CHECKING:
    from pipeline.config.schema import DataConfig
    from pipeline.workflows.raw_clips import RawClips

TAKES_OVERRIDES = False
EPILOG = (
    "Give --run_dir or --model_uri, and the clips: as features, as --videos_dir, or as --face_dir "
    "with --flow_dir. Labels are not needed."
)

_OUTPUT = Path("results/predictions.csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    parser.add_argument("--run_dir", type=optional_path, default=None, help="run with the model")
    parser.add_argument("--model_uri", default="", help="model in MLflow, e.g. models:/NAME@ALIAS")
    add_features(parser, with_labels=False)
    directories = {
        "videos_dir": "videos, described with the settings of the model",
        "face_dir": "face crops, instead of videos",
        "flow_dir": "optical flow of the face crops",
        "work_dir": "where features of recordings are kept (default: nowhere)",
    }
    for name, words in directories.items():
        parser.add_argument(f"--{name}", type=optional_path, default=None, help=words)
    parser.add_argument(
        "--num_workers",
        type=optional_count,
        default=None,
        help="processes that describe recordings (2)",
    )
    parser.add_argument(
        "--output",
        type=optional_path,
        default=None,
        help=f"table to write: .csv, .npy or .parquet (default: {_OUTPUT})",
    )
    parser.add_argument(
        "--explain",
        type=optional_path,
        default=None,
        help="table to write besides: the attention of each trait to each frame of each clip",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if (arguments.run_dir is None) == (not arguments.model_uri):
        raise ConfigError("Give either --run_dir RUN or --model_uri URI, and not both.")
    from pipeline.commands.tables import print_prediction
    from pipeline.core.run_directory import open_run_directory
    from pipeline.core.tensorflow_import import import_tensorflow_quietly
    from pipeline.evaluation.score_table import check_table_path

    clips = _clips(arguments)
    output = arguments.output or _OUTPUT
    # Before TensorFlow is waited for:
    check_table_path(output)
    if arguments.run_dir is not None:
        open_run_directory(arguments.run_dir)
    import_tensorflow_quietly()
    from pipeline.workflows.predict import predict_clips

    prediction = predict_clips(
        clips,
        run_dir=arguments.run_dir,
        model_uri=arguments.model_uri,
        output=output,
        explain=arguments.explain,
    )
    print_prediction(prediction)
    return EXIT_INCOMPLETE if prediction.failures else EXIT_OK


def _clips(arguments: argparse.Namespace) -> "DataConfig | RawClips":
    """Return the one source of clips that was given."""
    from pipeline.config.loading import load_config
    from pipeline.workflows.raw_clips import RawClips

    overrides = feature_overrides(arguments)
    crops = (arguments.face_dir, arguments.flow_dir)
    given = [bool(overrides), arguments.videos_dir is not None, any(crops)]
    if sum(given) != 1 or (any(crops) and not all(crops)):
        raise ConfigError(
            "Give the clips in one way: --features_dir (or --static_features with "
            "--dynamic_features), or --videos_dir, or --face_dir with --flow_dir."
        )
    if overrides:
        return load_config(None, overrides).data
    return RawClips(
        videos_dir=arguments.videos_dir,
        face_dir=arguments.face_dir,
        flow_dir=arguments.flow_dir,
        work_dir=arguments.work_dir,
        num_workers=arguments.num_workers,
    )
