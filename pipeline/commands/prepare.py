"""Build a feature set from annotations and feature files, joined by clip id."""

import argparse

from pipeline.commands.arguments import add_annotations, add_path, annotation_paths
from pipeline.core.errors import EXIT_OK, ConfigError

TAKES_OVERRIDES = False
EPILOG = (
    "Annotations are ChaLearn First Impressions pickles or CSV files with clip_id and the five "
    "traits. Code in pickles is not executed. In First Impressions, a high neuroticism score means "
    "emotional stability; features.json records this direction."
)

_REQUIRED = ("annotations", "static_features", "dynamic_features", "clips", "features_dir")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_annotations(parser)
    add_path(parser, "static_features", "static stream, .npy")
    add_path(parser, "dynamic_features", "dynamic stream, .npy")
    add_path(parser, "clips", "CSV file with column clip_id, in the row order of the streams")
    add_path(parser, "features_dir", "directory for the feature set")
    parser.add_argument(
        "--allow_unlabelled",
        default="false",
        choices=("true", "false"),
        help="true: omit clips without annotation; false: stop with an error (default: false)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    missing = [f"--{name}" for name in _REQUIRED if not getattr(arguments, name)]
    if missing:
        raise ConfigError(f"prepare needs {', '.join(missing)}. See `prepare --help`.")
    from pipeline.commands.tables import print_directions, print_line
    from pipeline.data.feature_set import load_feature_set
    from pipeline.data.prepare import prepare_feature_set
    from pipeline.workflows.features import log_feature_warnings

    summary = prepare_feature_set(
        annotations_paths=annotation_paths(arguments),
        static_features=arguments.static_features,
        dynamic_features=arguments.dynamic_features,
        clips=arguments.clips,
        features_dir=arguments.features_dir,
        allow_unlabelled=arguments.allow_unlabelled == "true",
    )
    print_line(
        f"{arguments.features_dir}: {summary.num_clips} clips of {summary.num_groups} groups; "
        f"{len(summary.unlabelled)} clips without annotation were omitted; "
        f"{summary.unused_annotations} annotations have no features."
    )
    print_directions(summary.traits)
    log_feature_warnings(load_feature_set(arguments.features_dir))
    return EXIT_OK
