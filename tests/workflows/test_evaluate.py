import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError, RunError, SplitError
from pipeline.core.files import read_json, write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import FIRST_IMPRESSIONS
from pipeline.records.manifest import record_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained_dir(make_config, tmp_path_factory):
    from pipeline.workflows.train import run_training

    config = make_config(evaluation__by=["camera"])
    return run_training(config, run_dir=tmp_path_factory.mktemp("trained") / "run").run.path


@pytest.fixture
def run_dir(trained_dir, own_directory):
    """A writable copy of the run."""
    return shutil.copytree(trained_dir, own_directory / "run")


@pytest.fixture
def copy_set(small_features, own_directory, make_config):
    """Return a function that copies the set, changes its clip table, and configures it."""

    def copy(change):
        path = shutil.copytree(small_features, own_directory / "other")
        change(pd.read_csv(path / "clips.csv")).to_csv(path / "clips.csv", index=False)
        return path, make_config(data__features_dir=str(path)).data

    return copy


def with_new_clips(table):
    return table.assign(clip_id="new-" + table["clip_id"], group="new-" + table["group"])


def evaluate(*arguments, **settings):
    from pipeline.workflows.evaluate import evaluate_run

    return evaluate_run(*arguments, **settings)


def test_new_clips_are_not_training_clips(run_dir, copy_set):
    _, data = copy_set(with_new_clips)
    evaluation = evaluate(run_dir, data, split="all")
    assert evaluation.report.num_clips == 60
    assert evaluation.num_training_clips == 0
    assert evaluation.report.group_overlap["train/evaluated"]["shared_groups"] == 0


def test_the_clip_table_defines_the_test_clips_of_a_new_set(run_dir, copy_set):
    subset = np.where(np.arange(60) < 25, "test", "train")
    _, data = copy_set(lambda table: with_new_clips(table).assign(split=subset))
    assert evaluate(run_dir, data, split="test").report.num_clips == 25


@pytest.mark.parametrize(
    "odd", ["{} ", "\u00a0{}", "{}\u200b"], ids=["blank", "nbsp", "zero width"]
)
def test_invisible_differences_between_ids_are_ignored(run_dir, odd):
    before = evaluate(run_dir, None, split="validation").report
    table = pd.read_csv(run_dir / "split.csv")
    for column in ("clip_id", "group"):
        table[column] = table[column].map(odd.format)
    table.to_csv(run_dir / "split.csv", index=False)
    record_files(RunDirectory(run_dir), run_dir / "split.csv")
    after = evaluate(run_dir, None, split="validation").report
    assert after.metrics == before.metrics
    assert after.group_overlap == before.group_overlap


@pytest.mark.parametrize("odd", ["{}.MP4", "videos/{}"])
def test_nearly_equal_ids_give_a_warning(run_dir, copy_set, odd, caplog):
    path, data = copy_set(lambda table: table.assign(clip_id=table["clip_id"].map(odd.format)))
    name = pd.read_csv(path / "clips.csv")["clip_id"][0]
    evaluate(run_dir, data, split="all")
    (warning,) = [text for text in caplog.messages if "nearly, but" in text]
    assert repr(name) in warning
    assert "60 clip" in warning


@pytest.fixture(scope="module")
def numbered(make_config, small_features, tmp_path_factory):
    """A run on features without a clip table, and another set without a clip table."""
    from pipeline.workflows.train import run_training

    directory = tmp_path_factory.mktemp("numbered")
    for name in ("v1", "v2"):
        shutil.copytree(small_features, directory / name)
        (directory / name / "clips.csv").unlink()
    static = np.load(directory / "v2" / "static.npy")
    np.save(directory / "v2" / "static.npy", static[::-1])
    config = make_config(data__features_dir=str(directory / "v1"))
    run_dir = run_training(config, run_dir=directory / "run").run.path
    return run_dir, make_config(data__features_dir=str(directory / "v2")).data


def test_numbered_clips_of_another_set_are_new(numbered, own_directory, caplog):
    run_dir, other = numbered
    evaluation = evaluate(run_dir, other, split="all")
    assert evaluation.num_training_clips == 0
    shared = evaluation.report.group_overlap["train/evaluated"]
    assert shared == {"shared_groups": 0, "shared_clips": 0.0}
    assert evaluation.report.intervals.num_groups == 60
    assert "cannot be identified" in caplog.text
    for split in ("validation", "test"):
        with pytest.raises(SplitError, match=f"no clip belongs to the split {split}"):
            evaluate(run_dir, other, split=split)


def test_numbered_clips_of_the_training_set_are_known(numbered, own_directory, caplog):
    run_dir, _ = numbered
    trained_on = evaluate(run_dir, None, split="all").num_training_clips
    held_out = evaluate(run_dir, None, split="validation").report.num_clips
    assert trained_on + held_out == 60
    assert "cannot be identified" not in caplog.text


def test_the_configured_columns_are_reported_if_the_set_has_them(run_dir, copy_set):
    _, data = copy_set(lambda table: table.drop(columns="camera"))
    assert set(evaluate(run_dir, None, split="validation").report.by) == {"camera"}
    assert evaluate(run_dir, data, split="all").report.by == {}


@pytest.mark.parametrize(
    ("missing", "settings", "error", "message"),
    [
        ("run/model.keras", {}, RunError, r"no model\.keras yet.*train --resume"),
        ("other/labels.npy", {}, FeatureSetError, r"has no labels\.npy"),
        ("", {"split": "validation"}, SplitError, "no clip belongs to the split validation"),
        ("", {"by": ("age",)}, SplitError, r"no column age.*clip_id, group, camera"),
    ],
)
def test_a_failed_evaluation_changes_no_file(run_dir, copy_set, missing, settings, error, message):
    _, data = copy_set(with_new_clips)
    if missing:
        (run_dir.parent / missing).unlink()
    before = (run_dir / "evaluation.json").read_bytes()
    with pytest.raises(error, match=message):
        evaluate(run_dir, data, **{"split": "all", **settings})
    assert (run_dir / "evaluation.json").read_bytes() == before
    assert not (run_dir / "predictions" / "all.csv").exists()


def write_direction(path, *, is_reversed):
    traits = [dataclasses.asdict(trait) for trait in FIRST_IMPRESSIONS]
    traits[4]["is_reversed"] = is_reversed
    metadata = read_json(path) if path.exists() else {}
    write_json(path, {**metadata, "traits": traits})
    if path.name == "data.json":
        record_files(RunDirectory(path.parent), path)


@pytest.mark.parametrize("is_reversed", [True, False, None])
def test_the_direction_of_each_trait_must_be_the_same_as_in_training(
    run_dir, copy_set, caplog, is_reversed
):
    path, data = copy_set(with_new_clips)
    write_direction(run_dir / "data.json", is_reversed=True)
    if is_reversed is not None:
        write_direction(path / "features.json", is_reversed=is_reversed)
    if is_reversed is False:
        with pytest.raises(FeatureSetError, match="neuroticism must have the same direction"):
            evaluate(run_dir, data, split="all")
        return
    assert evaluate(run_dir, data, split="all").traits == FIRST_IMPRESSIONS
    assert (f"{path}: does not define the direction of neuroticism" in caplog.text) == (
        is_reversed is None
    )
