"""Arguments of several commands. As in `MLproject`, an empty value means "not given"."""

import argparse
import os.path
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.data.readers.label_table import LabelOptions

FEATURE_FILES = {
    "static_features": "static stream, .npy",
    "dynamic_features": "dynamic stream, .npy",
    "labels": "labels, .npy",
    "clips": "clip table, .csv",
}
"""Name of the option for each file of a feature set -> help text."""
LABEL_OPTIONS = {
    "id_column": "column of the clip ids in tables (default: found by its name)",
    "traits": "traits to read, separated by commas (default: the five OCEAN traits)",
    "trait_columns": "columns with other names, for instance openness=Open,extraversion=Extr",
    "label_range": "lowest and highest possible score, for instance 1,7 (default: 0,1)",
    "reverse": "traits whose scores are reversed (1 - x), separated by commas",
}
"""Name of the option for each property of label tables -> help text."""
_SEPARATOR = "\0"
"""Separator between joined values. Command-line arguments cannot contain this character."""


def path_text(text: str) -> str:
    """Replace a leading `~` with the home directory."""
    return os.path.expanduser(text)  # noqa: PTH111 - `Path.expanduser` raises for unknown users


def optional_path(text: str) -> Path | None:
    """Parse a path; return None for an empty text."""
    return Path(path_text(text)) if text else None


def optional_count(text: str) -> int | None:
    """Parse a whole number above 0; return None for an empty text."""
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0; got {text!r}")
    return int(text)


def add_path(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """Add an option for a path."""
    parser.add_argument(f"--{name}", type=optional_path, default=None, help=text)


def add_num_workers(parser: argparse.ArgumentParser, text: str) -> None:
    """Add the option for the number of workers."""
    parser.add_argument("--num_workers", type=optional_count, default=None, help=text)


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Add the option for tables in the output. `--verbose` without a value means true."""
    parser.add_argument(
        "--verbose",
        nargs="?",
        const="true",
        default="false",
        choices=("true", "false"),
        help="also print tables with the scores of each trait (default: false)",
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the option for the type of workers: local processes or Ray actors."""
    parser.add_argument(
        "--engine",
        default="local",
        choices=("local", "ray"),
        help="type of workers: local processes or Ray actors (default: local)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the options for a model: run directory or MLflow URI."""
    add_path(parser, "run_dir", "run directory with the model")
    parser.add_argument(
        "--model_uri",
        default="",
        help="MLflow URI of the model, instead of --run_dir: models:/NAME/VERSION or "
        "models:/NAME@ALIAS",
    )


def check_model(arguments: argparse.Namespace) -> None:
    """Check that exactly one model is given. If it is a run directory, check that it exists.

    Raises:
        PipelineError: If no model or two models are given, or if the directory does not exist.
    """
    from pipeline.core.run_directory import open_run_directory

    if (arguments.run_dir is None) == (not arguments.model_uri):
        raise ConfigError("Give either --run_dir RUN or --model_uri URI, and not both.")
    if arguments.run_dir is not None:
        open_run_directory(arguments.run_dir)


def add_run_dirs(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    """Add an option for several run directories."""
    parser.add_argument(
        f"--{name}",
        nargs="*",
        action=_JoinedBySeparator,
        default="",
        metavar="RUN",
        help=f"{text}; separated by spaces or commas",
    )


def run_paths(text: str) -> list[Path]:
    """Return the run directories in the value of an option from `add_run_dirs`.

    With `mlflow run`, all directories arrive as one text. A text that is an existing path is not
    split.
    """
    paths: list[Path] = []
    for entry in filter(None, text.split(_SEPARATOR)):
        is_one = Path(path_text(entry)).exists()
        parts = [entry] if is_one else re.split(r"[,\s]+", entry)
        paths += [Path(path_text(part)) for part in parts if part]
    return paths


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add the option for the subset of clips."""
    parser.add_argument(
        "--split",
        default="validation",
        choices=("validation", "test", "all"),
        help="subset of clips (default: validation)",
    )


def add_annotations(parser: argparse.ArgumentParser, dest: str = "annotations") -> None:
    """Add the option for the annotation files, with the name `dest`."""
    arrays = ", or labels.npy" if dest == "labels" else ""
    parser.add_argument(
        "--annotations",
        "--labels",
        dest=dest,
        nargs="*",
        action=_JoinedBySeparator,
        default="",
        metavar="FILE",
        help="label tables (.csv, .tsv, .parquet, .xlsx) or ChaLearn pickles, separated by spaces "
        f"or commas{arrays}",
    )


def add_label_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe the columns and the scale of label tables."""
    for name, text in LABEL_OPTIONS.items():
        parser.add_argument(f"--{name}", default="", help=text)


def label_options(arguments: argparse.Namespace) -> "LabelOptions":
    """Return the options that describe label tables.

    Raises:
        ConfigError: If a value has a wrong form.
    """
    from pipeline.data.readers.label_table import LabelOptions

    return LabelOptions.parse(
        traits=arguments.traits,
        id_column=arguments.id_column,
        trait_columns=arguments.trait_columns,
        label_range=arguments.label_range,
        reverse=arguments.reverse,
    )


def add_groups(parser: argparse.ArgumentParser) -> None:
    """Add the option for the groups of the clips."""
    parser.add_argument(
        "--groups",
        default="",
        help="person or source video of each clip: FILE.csv with clip_id and group, folder, prefix "
        "or regex:PATTERN (default: a column group, or the names of the clips)",
    )


def annotation_paths(text: str) -> list[Path]:
    """Return the annotation files in the value of an option. An existing path is one file."""
    from pipeline.core.files import split_paths

    return [
        Path(path_text(str(path)))
        for each in text.split(_SEPARATOR)
        for path in split_paths(path_text(each))
    ]


def add_named_values(parser: argparse.ArgumentParser, name: str, metavar: str, text: str) -> None:
    """Add a repeatable option with values of the form `NAME=VALUE`."""
    parser.add_argument(
        f"--{name}",
        nargs="*",
        action=_JoinedBySeparator,
        default="",
        metavar=metavar,
        help=f"{text}; repeatable, or separated by semicolons",
    )


def named_values(text: str, option: str) -> dict[str, str]:
    """Return name -> value of an option from `add_named_values`.

    Raises:
        ConfigError: If an entry has another form, or a name is given twice.
    """
    found: dict[str, str] = {}
    for entry in filter(None, re.split(rf"{_SEPARATOR}|;(?=[\w-]+=)", text)):
        name, equals, value = (part.strip() for part in entry.partition("="))
        if not (name and equals and value):
            kind = "PATH" if option == "stream" else "VALUE"
            raise ConfigError(
                f"--{option} {entry}: must be NAME={kind}, for instance static={entry}."
            )
        if name in found:
            raise ConfigError(f"--{option} {name}=...: is given twice. Keep one of the values.")
        found[name] = value
    return found


class _JoinedBySeparator(argparse.Action):
    """Action that joins all values of a repeatable option into one text."""

    def __call__(self, _: Any, namespace: argparse.Namespace, values: Any, *__: Any) -> None:
        given = getattr(namespace, self.dest)
        setattr(namespace, self.dest, _SEPARATOR.join(filter(None, (given, *values))))


def add_features(parser: argparse.ArgumentParser, *, with_labels: bool = True) -> None:
    """Add the options for the feature set: one for the directory, and one for each file."""
    parser.add_argument(
        "--features_dir", type=path_text, default="", help="directory of the feature set"
    )
    for name, text in FEATURE_FILES.items():
        if name != "labels":
            help_text = f"{text}, instead of --features_dir"
            parser.add_argument(f"--{name}", type=path_text, default="", help=help_text)
        elif with_labels:
            add_annotations(parser, dest="labels")


def feature_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the feature and label options as configuration overrides.

    If features are given, the overrides also remove the built-in data set.
    """
    from pipeline.workflows.features import feature_settings

    names = ("features_dir", *(name for name in FEATURE_FILES if name != "labels"))
    return feature_settings(
        {name: getattr(arguments, name, "") for name in names},
        annotation_paths(getattr(arguments, "labels", "")),
        {name: getattr(arguments, name, "") for name in LABEL_OPTIONS},
    )
