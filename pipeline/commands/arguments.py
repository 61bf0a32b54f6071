"""Arguments that several commands share. An empty value means "not given", as in MLproject."""

import argparse
import os
import os.path
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError

FEATURE_FILES = ("static_features", "dynamic_features", "labels", "clips")


def path_text(text: str) -> str:
    """Replace a leading `~` by the home directory."""
    return os.path.expanduser(text)  # noqa: PTH111 - `Path.expanduser` raises for unknown users


def optional_path(text: str) -> Path | None:
    """Read a path, with `~` for the home directory; an empty one is none."""
    return Path(path_text(text)) if text else None


def optional_count(text: str) -> int | None:
    """Read a number above 0; an empty text is none."""
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0; got {text!r}")
    return int(text)


def add_annotations(parser: argparse.ArgumentParser) -> None:
    """Add the annotation files: several, between commas or spaces."""
    parser.add_argument(
        "--annotations",
        nargs="*",
        action=_JoinedBySeparator,
        default="",
        metavar="FILE",
        help="annotation files, .pkl or .csv; several between spaces or commas",
    )


def annotation_paths(arguments: argparse.Namespace) -> list[Path]:
    """Return the annotation files that were given; a file whose name has a comma is one file."""
    paths: list[Path] = []
    for text in arguments.annotations.split(_SEPARATOR):
        path = optional_path(text)
        is_one_file = path is not None and path.exists()
        paths += filter(None, [path] if is_one_file else map(optional_path, text.split(",")))
    return paths


_SEPARATOR = "\0"
"""Separates values of an option; no argument can contain it."""


class _JoinedBySeparator(argparse.Action):
    """Keeps several values, also from an option that is repeated, as one text."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        del parser, option_string
        given = getattr(namespace, self.dest)
        setattr(namespace, self.dest, _SEPARATOR.join(filter(None, (given, *values))))


def add_features(parser: argparse.ArgumentParser, *, with_labels: bool = True) -> None:
    """Add what names a feature set: a directory, or its files one by one."""
    parser.add_argument(
        "--features_dir", type=path_text, default="", help="directory of a feature set"
    )
    for name in FEATURE_FILES:
        if name == "labels" and not with_labels:
            continue
        parser.add_argument(
            f"--{name}", type=path_text, default="", help=f"{name} file, instead of a directory"
        )


def feature_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the features that were given, as configuration overrides.

    A directory given here replaces files named in a configuration, and the other way
    round; the built-in set belongs to the directory of its configuration.
    """
    files = {name: path for name in FEATURE_FILES if (path := getattr(arguments, name, ""))}
    given = {"features_dir": arguments.features_dir, **files}
    if not any(given.values()):
        return {}
    if not files:
        given |= dict.fromkeys(FEATURE_FILES, "")
    return {"data.synthetic": None, **{f"data.{name}": value for name, value in given.items()}}


def with_environment(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the overrides with what the environment says of the MLflow run.

    A setting on the command line replaces one in the environment, which replaces one in a
    configuration file. `mlflow run` is environment: it has made and named its run already.

    Raises:
        ConfigError: If the run of `mlflow run` would have to move to another experiment.
    """
    is_made = "MLFLOW_RUN_ID" in os.environ
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    wanted = overrides.get("tracking.experiment")
    if wanted and is_made:
        from pipeline.tracking.existing_runs import experiment_of_run

        found = experiment_of_run(os.environ["MLFLOW_RUN_ID"])
        if found not in (wanted, None):
            raise ConfigError(
                f"--tracking.experiment {wanted}: `mlflow run` has made the run in the experiment "
                f"{found} already. Choose it there: `mlflow run --experiment-name {wanted}`."
            )
    elif wanted:
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    settings = {"tracking.experiment": name} if name else {}
    if is_made:
        settings["tracking.run_name"] = ""
    return {**settings, **overrides}


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add what says which clips are judged, and how."""
    parser.add_argument(
        "--split", default="validation", choices=("validation", "test", "all"), help="clips to use"
    )
    parser.add_argument("--by", default="", help="column of clips.csv to report separately")
