"""Build a feature set from feature files, label tables and groups, joined by clip id."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import (
    add_annotations,
    add_groups,
    add_label_options,
    add_named_values,
    add_path,
    annotation_paths,
    label_options,
    named_values,
    optional_count,
    path_text,
)
from pipeline.commands.next_steps import after_features, print_next
from pipeline.core.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    import rich.progress

TAKES_OVERRIDES = False
EPILOG = (
    "A stream is one file with all clips, or a folder with one file per clip: .npy, .npz, .h5, "
    ".csv, .tsv, .parquet or .jsonl. Tables of OpenFace, py-feat, openSMILE and MediaPipe are "
    "detected. For instance: prepare --stream static=openface/ --labels labels.csv "
    "--label_range 1,7 --groups people.csv --features_dir features"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_named_values(parser, "stream", "NAME=PATH", "file or folder of a stream")
    add_path(parser, "static_features", "short for --stream static=PATH")
    add_path(parser, "dynamic_features", "short for --stream dynamic=PATH")
    add_annotations(parser)
    add_label_options(parser)
    add_groups(parser)
    add_path(
        parser,
        "clips",
        "CSV file with column clip_id: the clips to use, in the row order of streams without ids",
    )
    add_path(parser, "features_dir", "directory for the feature set")
    add_named_values(
        parser, "format", "NAME=FORMAT", "format of the tables of a stream (default: detected)"
    )
    add_named_values(
        parser, "columns", "NAME=PATTERNS", "columns of a stream, for instance static='AU*_r,gaze*'"
    )
    parser.add_argument(
        "--num_steps",
        type=optional_count,
        default=None,
        help="number of time steps (default: unchanged if all clips have the same number, else 16)",
    )
    parser.add_argument(
        "--resample",
        default="mean",
        choices=("mean", "nearest"),
        help="how frames become steps: mean of each window, or nearest frame (default: mean)",
    )
    parser.add_argument(
        "--missing_streams",
        default="error",
        choices=("error", "drop", "mask"),
        help="clips without one of the streams: stop with an error, omit the clip, or keep it with "
        "the stream masked (default: error)",
    )
    parser.add_argument(
        "--allow_unlabelled",
        default="false",
        choices=("true", "false"),
        help="true: omit clips without annotation; false: stop with an error (default: false)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.features_dir is None:
        raise ConfigError("prepare needs --features_dir. See `prepare --help`.")
    streams = {
        name: Path(path_text(path))
        for name, path in named_values(arguments.stream, "stream").items()
    }
    for name in ("static", "dynamic"):
        path = getattr(arguments, f"{name}_features")
        if path is not None and name in streams:
            raise ConfigError(f"The stream {name} is given twice. Keep one of the options.")
        if path is not None:
            streams[name] = path
    formats = named_values(arguments.format, "format")
    columns = {
        name: [part.strip() for part in patterns.split(",") if part.strip()]
        for name, patterns in named_values(arguments.columns, "columns").items()
    }
    from pipeline.commands.project_run import record_result
    from pipeline.commands.tables import print_directions, print_line
    from pipeline.core.number_format import count
    from pipeline.data.clip_names import UNMATCHED_NAME, describe_unmatched
    from pipeline.data.feature_set import load_feature_set
    from pipeline.data.readers.annotations import read_labels
    from pipeline.workflows.features import log_feature_warnings
    from pipeline.workflows.prepare import open_streams, prepare_feature_set

    annotations = annotation_paths(arguments.annotations)
    options = label_options(arguments)
    sources = open_streams(
        streams,
        formats=formats,
        columns=columns,
        num_steps=arguments.num_steps,
        resample=arguments.resample,
        id_column=arguments.id_column,
    )
    with _progress() as progress:
        summary = prepare_feature_set(
            sources,
            arguments.features_dir,
            labels=read_labels(annotations, options) if annotations else None,
            annotations=annotations,
            clips=arguments.clips,
            groups=arguments.groups,
            missing_streams=arguments.missing_streams,
            allow_unlabelled=arguments.allow_unlabelled == "true",
            progress=progress,
            report=print_line,
        )
    omitted = f"; {count(summary.num_dropped, 'clip')} omitted" if summary.num_dropped else ""
    result = (
        f"{arguments.features_dir}: {count(summary.num_clips, 'clip')}, streams "
        f"{', '.join(summary.streams)}{omitted}"
    )
    print_line(result)
    record_result(
        f"prepare {arguments.features_dir.resolve().name}",
        result,
        paths=[arguments.features_dir / "features.json"],
    )
    if summary.num_unmatched:
        path = arguments.features_dir / UNMATCHED_NAME
        print_line(describe_unmatched(path, summary.num_unmatched))
    print_directions(summary.traits)
    log_feature_warnings(load_feature_set(arguments.features_dir))
    print_next(after_features(arguments.features_dir, has_labels=bool(annotations)))
    return EXIT_OK


@contextlib.contextmanager
def _progress() -> "Iterator[rich.progress.Progress]":
    """Show a bar per stream on stderr, if it is a terminal."""
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    with rich.progress.Progress(
        rich.progress.TextColumn("{task.description} {task.completed:.0f}/{task.total:.0f} clips"),
        rich.progress.BarColumn(),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("left"),
        rich.progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        yield progress
