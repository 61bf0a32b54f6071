"""Make a feature set of videos, or of given faces and flow.

Extraction is resumed where it was left when the command is given again.
"""

import argparse

from pipeline.commands.arguments import (
    add_annotations,
    annotation_paths,
    optional_count,
    optional_path,
)
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

TAKES_OVERRIDES = True
EPILOG = (
    "Any setting of the extraction can be given by its dotted name, for instance "
    "--sampling.num_steps 32 or --static.encoder resnet50 --static.weights imagenet."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    parser.add_argument("--config", type=optional_path, default=None, help="extraction file")
    for name, content in (
        ("videos_dir", "videos, in it or in folders below it"),
        ("face_dir", "a folder of face images for each clip, in place of faces in videos"),
        ("flow_dir", "a folder of .npy flow fields for each clip, in place of flow in videos"),
        ("features_dir", "where the feature set goes"),
    ):
        parser.add_argument(f"--{name}", type=optional_path, default=None, help=content)
    add_annotations(parser)
    parser.add_argument(
        "--num_workers", type=optional_count, default=None, help="processes, or actors of Ray (2)"
    )
    parser.add_argument(
        "--engine", default="local", choices=("local", "ray"), help="where the workers run"
    )
    parser.add_argument(
        "--shard", default="", help="i/n: do the i-th of n parts, for arrays of batch jobs"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.features_dir is None:
        raise ConfigError("extract needs --features_dir. See `extract --help`.")
    shard = _shard(arguments.shard)
    from pipeline.commands.tables import print_extraction, print_line
    from pipeline.config.extraction import is_network
    from pipeline.config.loading import load_extraction_config

    config = load_extraction_config(arguments.config, arguments.overrides)
    from pipeline.extraction.run import DEFAULT_WORKERS, extract_features

    if is_network(config):
        from pipeline.core.tensorflow_import import import_tensorflow_quietly

        import_tensorflow_quietly()
    try:
        outcome = extract_features(
            features_dir=arguments.features_dir,
            videos_dir=arguments.videos_dir,
            face_dir=arguments.face_dir,
            flow_dir=arguments.flow_dir,
            annotations=annotation_paths(arguments),
            config=config,
            num_workers=arguments.num_workers or DEFAULT_WORKERS,
            engine=arguments.engine,
            shard=shard,
        )
    except KeyboardInterrupt:
        print_line("Clips that are done are kept; the same command goes on with the others.")
        raise
    print_extraction(outcome)
    return EXIT_INCOMPLETE if outcome.failed else EXIT_OK


def _shard(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal()):
        raise ConfigError(f"--shard must be i/n, for instance 2/8; got {text!r}.")
    return int(part), int(parts)
