"""Invalid input causes one error line that names place and fix, and changes no file.

These tests contain one case per kind of check. The unit tests contain all cases.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@dataclass(frozen=True)
class Case:
    """Invalid input, and parts of the error message."""

    name: str
    parts: tuple[str, ...]
    damage: Callable[[Path], object] = lambda features: None
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ("train", "--features_dir", "{features}")
    files: dict[str, str] = field(default_factory=dict)
    out: str = ""
    """Part of the output."""
    written: frozenset[str] = frozenset()
    """Files that explain the error."""


def change(name, edit):
    """Return a function that edits an array of a feature set."""

    def apply(features):
        values = np.load(features / name)
        np.save(features / name, edit(values))

    return apply


def with_nan(values):
    values[7, 0] = np.nan
    return values


def change_table(edit):
    """Return a function that edits the clip table of a feature set."""

    def apply(features):
        edit(pd.read_csv(features / "clips.csv")).to_csv(features / "clips.csv", index=False)

    return apply


def truncate(features):
    path = features / "static.npy"
    path.write_bytes(path.read_bytes()[:-100])


def repeat_first_id(table):
    table.loc[3, "clip_id"] = table.loc[0, "clip_id"]
    return table


SEARCH = ("search", "--space", "x.yaml", "--features_dir", "{features}", "--num_trials", "1")
SPACE = {"x.yaml": "name: heads\nparameters:\n  num_heads: [1, 2]\n"}

CASES = [
    Case("a missing file", ("dynamic.npy", "there is no such file"),
         lambda features: (features / "dynamic.npy").unlink()),
    Case("a missing directory", ("nowhere", "does not exist"),
         command=("train", "--features_dir", "nowhere")),
    Case("a truncated file", ("static.npy", "is incomplete"), truncate),
    Case("NaN", ("dynamic.npy", "row 7", "nan", "drop it"), change("dynamic.npy", with_nan)),
    Case("labels in 0-100", ("labels.npy", "0-100: divide by 100"),
         change("labels.npy", lambda values: values * 100)),
    Case("missing labels", ("has no labels.npy", "prepare"),
         lambda features: (features / "labels.npy").unlink()),
    Case("a repeated clip", ("clips.csv", "occurs twice", "row 0", "row 3"),
         change_table(repeat_first_id)),
    Case("one group", ("1 group(s)", "Add clips of other groups"),
         change_table(lambda table: table.assign(group="video"))),
    Case("equal labels", ("labels.npy", "nothing to learn"),
         change("labels.npy", lambda values: np.full_like(values, 0.5))),
    Case("an unknown subset", ("clips.csv", "row 0", "'dev'", "validation"),
         change_table(lambda table: table.assign(split="dev"))),
    Case("one step", ("static.npy: has one", "attention over one key is always 1"),
         change("static.npy", lambda values: values[:, :1])),
    Case("more folds than groups", ("num_folds is 50", "at most 40"),
         options=("--training.num_folds", "50")),
    Case("a missing column", ("no column gneder", "camera"),
         options=("--evaluation.by", "[gneder]")),
    Case("a search with a missing column", ("no column gneder", "camera"),
         command=(*SEARCH, "--evaluation.by", "gneder"), files=SPACE),
    Case("an invalid model name", ("tracking.registered_model='a/b:c'", "without /"),
         options=("--tracking.registered_model", "a/b:c")),
    Case("a search with an invalid model name", ("tracking.registered_model='a/b'", "without /"),
         command=(*SEARCH, "--tracking.registered_model", "a/b"), files=SPACE),
    Case("a number of heads that does not divide", ("model.num_heads must divide",),
         options=("--model.num_heads", "3")),
    Case("an unknown setting", ("unknown key training.epochs", "training.num_epochs"),
         options=("--training.epochs", "3")),
    Case("an unknown key in a file", ("x.yaml", "unknown key modle", "did you mean model?"),
         options=("--config", "x.yaml"), files={"x.yaml": "modle:\n  num_heads: 4\n"}),
    Case("an unknown model format", ("model.pkl", ".keras"), options=("--output", "model.pkl")),
    Case("a run directory in use", ("taken", "exists and is not empty", "--resume"),
         options=("--run_dir", "taken"), files={"taken/notes.txt": "mine"}),
    Case("a directory and files", ("exclude each other",), options=("--static_features", "x.npy")),
    Case("annotations of other clips", ("scores.csv", "240 of 240 clips have no annotation"),
         command=("prepare", "--annotations", "scores.csv", "--static_features",
                  "{features}/static.npy", "--dynamic_features", "{features}/dynamic.npy",
                  "--clips", "{features}/clips.csv", "--features_dir", "prepared"),
         files={"scores.csv": "clip_id,openness,conscientiousness,extraversion,agreeableness,"
                              "neuroticism\nstranger,0.5,0.5,0.5,0.5,0.5\n"},
         out="annotations: 0 of 240 clips", written=frozenset({"prepared", "unmatched.csv"})),
]  # fmt: skip


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "cwd"
    path.mkdir()
    return path


def content_of(directory):
    return {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")}


def check_error(result, case):
    line = result.error_line()
    for part in case.parts:
        assert part in line
    assert line.endswith((".", "?"))
    assert case.out in result.out
    # Numbers of clips and groups, chosen settings and the device are printed before the error.
    expected = r"(\d+ clips in \d+ groups?\..*\n)?(settings for .*\n)?(device: CPU\n)?"
    assert case.out or re.fullmatch(expected, result.out)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_invalid_input_is_an_error_in_one_line_and_changes_no_file(
    case, run_here, features_copy, directory
):
    case.damage(features_copy)
    for name, text in case.files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    before = content_of(directory.parent)
    command = [word.format(features=features_copy) for word in case.command]
    check_error(run_here(*command, *case.options, cwd=directory), case)
    after = content_of(directory.parent)
    assert {path.name for path in after.keys() - before.keys()} == case.written
    assert {path: after.get(path) for path in before} == before


@pytest.mark.slow
def test_a_new_process_prints_the_same_error(run, features_copy, directory):
    (case,) = [case for case in CASES if case.name == "NaN"]
    case.damage(features_copy)
    check_error(run("train", "--features_dir", features_copy, cwd=directory), case)
    assert content_of(directory) == {}


OUT = ("extract", "--features_dir", "out")
PREPARE = ("prepare", "--features_dir", "out")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("evaluate",), "--run_dir RUN or --model_uri URI"),
        (("evaluate", "--run_dir", "x", "--model_uri", "y"), "and not both"),
        (("compare", "--run_dir", "x"), "--run_dir RUN RUN"),
        (("summarize",), "--run_dir RUN RUN"),
        (("summarize", "--run_dir", "x", "--experiment", "y"), "and not both"),
        (("summarize", "--run_dir", "x", "--filter", "y"), "--filter needs --experiment NAME"),
        (("summarize", "--run_dir", "x,y"), "x: there is no such run directory"),
        (("prepare", "--clips", "clips.csv"), "prepare needs --features_dir"),
        (PREPARE, "No stream is given. Give at least one with --stream NAME=PATH"),
        ((*PREPARE, "--stream", "face"), "--stream face: must be NAME=PATH"),
        ((*PREPARE, "--stream", "a=x", "--stream", "a=y"), "--stream a=...: is given twice"),
        ((*PREPARE, "--stream", "static=x", "--static_features", "y"), "static is given twice"),
        ((*PREPARE, "--stream", "a=x"), "x: there is no such file or folder. Correct --stream a="),
        ((*PREPARE, "--stream", "a=x", "--format", "b=table"), "there is no stream b"),
        ((*PREPARE, "--stream", "a=x", "--columns", "b=c"), "there is no stream b"),
        ((*PREPARE, "--stream", "a=.", "--label_range", "7"), "--label_range 7: must be LOW,HIGH"),
        ((*PREPARE, "--stream", "a=.", "--num_steps", "0"), "expected a whole number above 0"),
        (("sync",), "--run_dir RUN"),
        (("train",), "No features are given"),
        (("evaluate", "--run_dir", "nowhere"), "nowhere: there is no such run directory"),
        (("compare", "--run_dir", "x", "y"), "x: there is no such run directory"),
        (("sync", "--run_dir", "nowhere"), "nowhere: there is no such run directory"),
        (("train", "--resume", "nowhere"), "nowhere: there is no such run directory"),
        (("visualize", "--run_dir", "."), "contains no file of a run"),
        (("train", "--resume", "x", "--seed", "1"), "--seed would change it"),
        (("train", "--resume", "x", "--config", "y"), "--config would change it"),
        (("train", "--resume", "x", "--labels", "y"), "--labels would change it"),
        (("extract",), "extract needs --features_dir"),
        (OUT, "needs --videos_dir"),
        ((*OUT, "--videos_dir", "none"), "none: must be a directory, but does not exist"),
        ((*OUT, "--videos_dir", "x", "--num_workers", "two"), "whole number"),
        ((*OUT, "--videos_dir", "x", "--reverse", "calm"), "--reverse: 'calm' is not a trait"),
        ((*OUT, "--videos_dir", "x", "--shard", "2"), "must be I/N"),
        ((*OUT, "--videos_dir", "x", "--faces.crop", "1"), "faces.crop_px"),
        ((*OUT, "--videos_dir", "x", "--static.encoder", "resnet50"), "static.weights must be"),
    ],
    ids=" ".join,
)
def test_missing_and_invalid_options_are_an_error(argv, message, run_here, directory):
    if argv[0] == "extract":
        pytest.importorskip("av", reason="the extra `video` is not installed")
    assert message in run_here(*argv, cwd=directory).error_line()
    assert list(directory.iterdir()) == []
