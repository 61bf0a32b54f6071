"""Predict the traits of new clips, with 90 % intervals, from features or videos."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import (
    add_features,
    add_model,
    add_num_workers,
    add_path,
    check_model,
    feature_overrides,
)
from pipeline.commands.next_steps import command, print_next
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

if TYPE_CHECKING:
    from pipeline.config.schema import DataConfig
    from pipeline.workflows.raw_clips import RawClips

TAKES_OVERRIDES = False
EPILOG = (
    "Give --run_dir or --model_uri. Give the clips as features, as --videos_dir, or as --face_dir "
    "with --flow_dir. No labels are needed."
)

_OUTPUT = Path("results/predictions.csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_model(parser)
    add_features(parser, with_labels=False)
    add_path(parser, "videos_dir", "directory of videos; features are extracted as for training")
    add_path(parser, "face_dir", "one folder of face crops per clip, instead of videos")
    add_path(parser, "flow_dir", "one folder of optical flow per clip, together with --face_dir")
    add_path(parser, "work_dir", "directory to keep the extracted features (default: not kept)")
    add_num_workers(parser, "number of extraction processes (default: 2)")
    add_path(parser, "output", f"table to write: .csv, .npy or .parquet (default: {_OUTPUT})")
    parser.add_argument(
        "--units",
        default="score",
        choices=("score", "original"),
        help="score: scores and limits in [0, 1]; original: in the range of the annotations that "
        "the model was trained on, see prepare --label_range (default: score)",
    )
    add_path(
        parser,
        "explain",
        "table to write with the attention weight of each frame, per clip and trait",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pipeline.commands.project_run import record_result
    from pipeline.commands.tables import print_prediction
    from pipeline.core.tensorflow_import import import_tensorflow_quietly
    from pipeline.evaluation.score_table import check_table_path

    check_model(arguments)
    clips = _clips(arguments)
    output = arguments.output or _OUTPUT
    check_table_path(output)
    import_tensorflow_quietly(runs_user_code=False)
    from pipeline.workflows.predict import predict_clips

    prediction = predict_clips(
        clips,
        run_dir=arguments.run_dir,
        model_uri=arguments.model_uri,
        output=output,
        explain=arguments.explain,
        units=arguments.units,
    )
    print_prediction(prediction)
    model = arguments.model_uri or arguments.run_dir.resolve().name
    record_result(
        f"predict {len(prediction.table)} clips with {model}",
        f"Scores of {len(prediction.table):,} clips, predicted by `{model}`. Clips whose "
        f"extraction failed: {len(prediction.failures)}.",
        paths=[path for path in (prediction.output, prediction.explanation) if path is not None],
    )
    print_next(_next_steps(arguments))
    return EXIT_INCOMPLETE if prediction.failures else EXIT_OK


def _next_steps(arguments: argparse.Namespace) -> dict[str, str]:
    def given(*names: str) -> dict[str, object]:
        return {name: value for name in names if (value := getattr(arguments, name))}

    model = given("run_dir", "model_uri")
    clips = given("features_dir", "static_features", "dynamic_features")
    if arguments.work_dir is not None:
        clips = {"features_dir": arguments.work_dir}
    if not clips:
        raw = given("videos_dir", "face_dir", "flow_dir")
        return {"keep the features": command("predict", **model, **raw, work_dir="features/new")}
    evaluation = command("evaluate", **model, **clips, labels="LABELS.csv", split="all")
    return {"measure the errors, if you have labels": evaluation}


def _clips(arguments: argparse.Namespace) -> "DataConfig | RawClips":
    """Return the source of the clips that the options specify: a feature set or raw clips."""
    from pipeline.config.loading import load_config
    from pipeline.workflows.raw_clips import RawClips

    overrides = feature_overrides(arguments)
    crops = (arguments.face_dir, arguments.flow_dir)
    given = [bool(overrides), arguments.videos_dir is not None, any(crops)]
    if sum(given) != 1 or (any(crops) and not all(crops)):
        raise ConfigError(
            "Give the clips in one way: --features_dir (or --static_features, "
            "--dynamic_features or both), or --videos_dir, or --face_dir with --flow_dir."
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
