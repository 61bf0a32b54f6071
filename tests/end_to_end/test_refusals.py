"""Wrong input is refused in one line that names the place and the cure, and leaves nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@dataclass(frozen=True)
class Case:
    """Something wrong, and what the refusal has to say."""

    name: str
    words: tuple[str, ...]
    break_: Callable[[Path], object] = lambda features: None
    options: tuple[str, ...] = ()
    command: tuple[str, ...] = ("train", "--features_dir", "{features}")
    files: dict[str, str] = field(default_factory=dict)


def change(name, edit):
    """Return what edits an array of the feature set."""

    def apply(features):
        values = np.load(features / name)
        np.save(features / name, edit(values))

    return apply


def with_value(value):
    def edit(values):
        values[7, 0] = value
        return values

    return edit


def change_table(edit):
    """Return what edits the clip table."""

    def apply(features):
        edit(pd.read_csv(features / "clips.csv")).to_csv(features / "clips.csv", index=False)

    return apply


def truncate(features):
    path = features / "static.npy"
    path.write_bytes(path.read_bytes()[:-100])


def pickle_objects(features):
    values = np.array([{"a": 1}, None], dtype=object)
    np.save(features / "static.npy", values, allow_pickle=True)


def keep(number):
    def apply(features):
        for name in ("static.npy", "dynamic.npy", "labels.npy"):
            change(name, lambda values: values[:number])(features)
        change_table(lambda table: table.head(number))(features)

    return apply


def repeat_first_id(table):
    table.loc[3, "clip_id"] = table.loc[0, "clip_id"]
    return table


CASES = [
    Case("a missing file", ("dynamic.npy", "there is no such file"),
         lambda features: (features / "dynamic.npy").unlink()),
    Case("a missing directory", ("nowhere", "does not exist"),
         command=("train", "--features_dir", "nowhere")),
    Case("a truncated file", ("static.npy", "is incomplete"), truncate),
    Case("a torn header", ("static.npy", "is not a .npy file"),
         lambda features: (features / "static.npy").write_bytes(
             b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4',")),
    Case("a shape of True and False", ("static.npy", "impossible shape"),
         lambda features: (features / "static.npy").write_bytes(
             b"\x93NUMPY\x01\x00\x3c\x00"
             b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2)}" + bytes(8))),
    Case("semicolons with decimal commas", ("clips.csv", "separated by semicolons"),
         lambda features: (features / "clips.csv").write_text("clip_id;group\na;1,5\n")),
    Case("an array of objects", ("static.npy", "type object", "astype"), pickle_objects),
    Case("NaN", ("dynamic.npy", "row 7", "nan", "drop it"),
         change("dynamic.npy", with_value(np.nan))),
    Case("infinity", ("static.npy", "row 7", "inf", "drop it"),
         change("static.npy", with_value(np.inf))),
    Case("labels on 0-100", ("labels.npy", "0-100: divide by 100"),
         change("labels.npy", lambda values: values * 100)),
    Case("a label that is missing", ("labels.npy", "row 7", "nan"),
         change("labels.npy", with_value(np.nan))),
    Case("four traits", ("labels.npy", "(240, 4)", "expected (240, 5)"),
         change("labels.npy", lambda values: values[:, :4])),
    Case("no labels", ("has no labels.npy", "prepare"),
         lambda features: (features / "labels.npy").unlink()),
    Case("rows that do not match", ("dynamic.npy", "has 239 rows", "has 240"),
         change("dynamic.npy", lambda values: values[:-1])),
    Case("a clip twice", ("clips.csv", "occurs twice", "row 0", "row 3"),
         change_table(repeat_first_id)),
    Case("no clips", ("static.npy", "has no features"), keep(0)),
    Case("one clip", ("1 group(s)", "at least 2 groups"), keep(1)),
    Case("one group", ("1 group(s)", "Add clips of other groups"),
         change_table(lambda table: table.assign(group="video"))),
    Case("labels that are all the same", ("labels.npy", "nothing to learn"),
         change("labels.npy", lambda values: np.full_like(values, 0.5))),
    Case("an unknown split", ("clips.csv", "row 0", "'dev'", "validation"),
         change_table(lambda table: table.assign(split="dev"))),
    Case("a table without groups", ("clips.csv", "no column group"),
         change_table(lambda table: table.drop(columns="group"))),
    Case("one step to attend to", ("static.npy: has one", "attention over one key is always 1"),
         change("static.npy", lambda values: values[:, :1])),
    Case("more folds than groups", ("num_folds is 50", "at most 40"),
         options=("--training.num_folds", "50")),
    Case("a column that is not there", ("no column gneder", "camera"),
         options=("--evaluation.by", "[gneder]")),
    Case("a column that lists the clips", ("'clip_id' has 240 distinct values", "leave it out"),
         options=("--evaluation.by", "clip_id", "--training.num_folds", "2")),
    Case("a search by a column that is not there", ("no column gneder", "camera"),
         command=("search", "--space", "x.yaml", "--features_dir", "{features}",
                  "--num_trials", "1", "--evaluation.by", "gneder"),
         files={"x.yaml": "name: heads\nparameters:\n  num_heads: [1, 2]\n"}),
    Case("a name that the registry refuses", ("tracking.registered_model='a/b:c'", "without /"),
         options=("--tracking.registered_model", "a/b:c")),
    Case("an alias that the registry reserves", ("tracking.alias='v1'", "are reserved"),
         options=("--tracking.registered_model", "a", "--tracking.alias", "v1")),
    Case("a search whose best model could not be registered", ("name='a/b'", "without /"),
         command=("search", "--space", "x.yaml", "--features_dir", "{features}",
                  "--num_trials", "1", "--name", "a/b"),
         files={"x.yaml": "name: heads\nparameters:\n  num_heads: [1, 2]\n"}),
    Case("a seed that generators do not take", ("seed must lie in", "got 4294967296"),
         options=("--seed", str(2**32))),
    Case("heads that do not divide", ("model.num_heads must divide", "Head counts that do"),
         options=("--model.num_heads", "3")),
    Case("an unknown setting", ("unknown key training.epochs", "training.num_epochs"),
         options=("--training.epochs", "3")),
    Case("a value of the wrong type", ("training.num_epochs", "got 'many'"),
         options=("--training.num_epochs", "many")),
    Case("an unknown flag", ("unknown key epochs",), options=("--epochs", "3")),
    Case("a flag without a value", ("--seed needs a value",), options=("--seed",)),
    Case("an unknown key in a file", ("x.yaml", "unknown key modle", "did you mean model?"),
         options=("--config", "x.yaml"), files={"x.yaml": "modle:\n  num_heads: 4\n"}),
    Case("a file that is no YAML", ("x.yaml", "is not valid YAML"),
         options=("--config", "x.yaml"), files={"x.yaml": "model: ["}),
    Case("a missing configuration", ("nowhere.yaml", "no such configuration file"),
         options=("--config", "nowhere.yaml")),
    Case("a format that no model has", ("model.pkl", ".keras"),
         options=("--output", "model.pkl")),
    Case("a run directory that is taken", ("taken", "exists and is not empty", "--resume"),
         options=("--run_dir", "taken"), files={"taken/notes.txt": "mine"}),
    Case("a directory and files", ("exclude each other",), options=("--static_features", "x.npy")),
    Case("annotations of other clips", ("clips.csv", "240 of 240 clips have no annotation"),
         command=("prepare", "--annotations", "scores.csv", "--static_features",
                  "{features}/static.npy", "--dynamic_features", "{features}/dynamic.npy",
                  "--clips", "{features}/clips.csv", "--features_dir", "prepared"),
         files={"scores.csv": "clip_id,openness,conscientiousness,extraversion,agreeableness,"
                              "neuroticism\nstranger,0.5,0.5,0.5,0.5,0.5\n"}),
]  # fmt: skip


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "cwd"
    path.mkdir()
    return path


def everything_in(directory):
    return {path: path.is_file() and path.read_bytes() for path in directory.rglob("*")}


def assert_refused(finished, case):
    assert finished.status == 2, finished
    (line,) = finished.err.splitlines()
    assert line.startswith("error: ")
    for words in case.words:
        assert words in line
    assert line.endswith((".", "?"))
    assert finished.out.removeprefix("device: CPU\n") == ""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_in_a_line_and_nothing_is_left(case, run_here, broken, directory):
    case.break_(broken)
    for name, text in case.files.items():
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)
    before = everything_in(directory)
    command = [word.format(features=broken) for word in case.command]
    assert_refused(run_here(*command, *case.options, cwd=directory), case)
    assert everything_in(directory) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.name in ("NaN", "an unknown setting", "a missing file")],
    ids=lambda case: case.name,
)
def test_a_process_of_its_own_refuses_it_alike(case, run, broken, directory):
    case.break_(broken)
    command = [word.format(features=broken) for word in case.command]
    assert_refused(run(*command, *case.options, cwd=directory), case)
    assert everything_in(directory) == {}


@pytest.mark.slow
def test_the_training_of_a_refused_feature_set_left_no_lock_in_it(run_here, broken, directory):
    truncate(broken)
    before = set(broken.iterdir())
    assert run_here("train", "--features_dir", broken, cwd=directory).status == 2
    assert set(broken.iterdir()) == before
