"""Extract a feature set from videos, or from face images and optical flow.

The same command continues an interrupted extraction.
"""

import argparse

from pipeline.commands.arguments import (
    add_annotations,
    add_engine,
    add_groups,
    add_label_options,
    add_num_workers,
    add_path,
    annotation_paths,
    label_options,
)
from pipeline.commands.next_steps import after_features, print_next
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

TAKES_OVERRIDES = True
EPILOG = (
    "The same command continues an interrupted extraction. Any extraction setting can be given "
    "by its dotted name, for instance --sampling.num_steps 32 or --static.encoder resnet50 "
    "--static.weights imagenet. `python -m pipeline config extraction` lists all settings."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "config", "extraction settings: file (.yaml) or name, for instance resnet50")
    add_path(parser, "videos_dir", "directory of videos, searched with its subdirectories")
    add_path(parser, "face_dir", "one folder of face images per clip, instead of faces from videos")
    add_path(
        parser, "flow_dir", "one folder of flow fields (.npy) per clip, instead of flow from videos"
    )
    add_path(parser, "features_dir", "directory for the feature set")
    add_annotations(parser)
    add_label_options(parser)
    add_groups(parser)
    add_num_workers(parser, "number of worker processes or Ray actors (default: 2)")
    add_engine(parser)
    parser.add_argument(
        "--shard", default="", help="I/N: extract only part I of N parts, for job arrays"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.features_dir is None:
        raise ConfigError("extract needs --features_dir. See `extract --help`.")
    shard = _shard(arguments.shard)
    from pipeline.commands.project_run import record_result
    from pipeline.commands.tables import print_extraction, print_line
    from pipeline.config.extraction import uses_network
    from pipeline.config.loading import load_extraction_config

    config = load_extraction_config(arguments.config, arguments.overrides)
    from pipeline.extraction.run import DEFAULT_WORKERS, extract_features

    if uses_network(config):
        from pipeline.core.tensorflow_import import import_tensorflow_quietly

        import_tensorflow_quietly(runs_user_code=False)
    try:
        outcome = extract_features(
            features_dir=arguments.features_dir,
            videos_dir=arguments.videos_dir,
            face_dir=arguments.face_dir,
            flow_dir=arguments.flow_dir,
            annotations=annotation_paths(arguments.annotations),
            label_options=label_options(arguments),
            groups=arguments.groups,
            config=config,
            num_workers=arguments.num_workers or DEFAULT_WORKERS,
            engine=arguments.engine,
            shard=shard,
            report=print_line,
        )
    except KeyboardInterrupt:
        print_line("Finished clips are kept. Give the same command to continue.")
        raise
    print_extraction(outcome)
    record_result(
        f"extract {outcome.features_dir.resolve().name}",
        f"`{outcome.features_dir}`: {outcome.num_clips:,} clips, {outcome.num_done:,} of them "
        f"extracted by this command; {len(outcome.failed)} clips failed.",
        paths=[outcome.features_dir / "features.json", outcome.failures_path],
    )
    steps = after_features(arguments.features_dir, has_labels=bool(arguments.annotations))
    print_next(steps)
    return EXIT_INCOMPLETE if outcome.failed else EXIT_OK


def _shard(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal()):
        raise ConfigError(f"--shard must be I/N, for instance 2/8; got {text!r}.")
    return int(part), int(parts)
