import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from pipeline.core.manifest import record_files

from pipeline.core.errors import FeatureSetError, RunError, SplitError
from pipeline.core.files import read_json, write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import FIRST_IMPRESSIONS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained_dir(make_config, tmp_path_factory):
    from pipeline.workflows.train import run_training

    config = make_config(evaluation__by=["camera"])
    return run_training(config, run_dir=tmp_path_factory.mktemp("trained") / "run").run.path


@pytest.fixture
def run_dir(trained_dir, own_directory):
    """A copy of the run, to write into."""
    return shutil.copytree(trained_dir, own_directory / "run")


@pytest.fixture
def other_set(small_features, own_directory, make_config):
    """A copy of the feature set with new clips, and the configuration that names it."""
    path = shutil.copytree(small_features, own_directory / "other")
    table = pd.read_csv(path / "clips.csv")
    table["clip_id"] = "new-" + table["clip_id"]
    table["group"] = "new-" + table["group"]
    table.to_csv(path / "clips.csv", index=False)
    return path, make_config(data__features_dir=str(path)).data


def evaluate(*arguments, **settings):
    from pipeline.workflows.evaluate import evaluate_run

    return evaluate_run(*arguments, **settings)


def test_a_run_without_a_model_is_refused_with_the_command_that_finishes_it(run_dir):
    (run_dir / "model.keras").unlink()
    with pytest.raises(RunError, match=r"no model\.keras yet.*train --resume"):
        evaluate(run_dir, None, split="validation")


def test_new_clips_are_all_evaluated_and_none_was_trained_on(run_dir, other_set):
    _, data = other_set
    evaluation = evaluate(run_dir, data, split="all")
    assert evaluation.report.num_clips == 60
    assert evaluation.num_training_clips == 0
    assert evaluation.report.group_overlap["train/evaluated"]["shared_groups"] == 0


def test_the_clip_table_says_which_new_clips_are_the_test(run_dir, other_set):
    path, data = other_set
    table = pd.read_csv(path / "clips.csv")
    table["split"] = np.where(np.arange(60) < 25, "test", "train")
    table.to_csv(path / "clips.csv", index=False)
    assert evaluate(run_dir, data, split="test").report.num_clips == 25


@pytest.mark.parametrize(
    "odd", ["{} ", "\u00a0{}", "{}\u200b"], ids=["blank", "nbsp", "zero width"]
)
def test_clips_whose_ids_differ_invisibly_are_those_of_the_run(run_dir, odd):
    """Earlier versions wrote ids as they had read them."""
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
def test_clips_whose_ids_are_nearly_those_of_the_run_are_warned_of(
    run_dir, small_features, own_directory, make_config, odd, caplog
):
    path = shutil.copytree(small_features, own_directory / "near")
    table = pd.read_csv(path / "clips.csv")
    name = table["clip_id"][0]
    table["clip_id"] = table["clip_id"].map(odd.format)
    table.to_csv(path / "clips.csv", index=False)
    evaluate(run_dir, make_config(data__features_dir=str(path)).data, split="all")
    (warning,) = [text for text in caplog.messages if "nearly" in text]
    assert f"the first is {odd.format(name)!r}, and the run has {name!r}" in warning
    assert "60 clips" in warning


def test_clips_of_no_split_are_refused(run_dir, other_set):
    _, data = other_set
    with pytest.raises(SplitError, match="no clip belongs to the split validation"):
        evaluate(run_dir, data, split="validation")


@pytest.fixture(scope="module")
def numbered(make_config, small_features, tmp_path_factory):
    """A run that was trained on features without a table, and another set without one."""
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


def test_numbered_clips_of_another_set_are_all_new(numbered, own_directory, caplog):
    run_dir, other = numbered
    evaluation = evaluate(run_dir, other, split="all")
    assert evaluation.num_training_clips == 0
    assert evaluation.report.group_overlap["train/evaluated"] == {
        "shared_groups": 0,
        "shared_clips": 0.0,
    }
    assert evaluation.report.intervals.num_groups == 60
    assert "nobody can tell which of them the model was trained on" in caplog.text


@pytest.mark.parametrize("split", ["validation", "test"])
def test_numbered_clips_of_another_set_are_of_no_split(numbered, own_directory, split):
    run_dir, other = numbered
    with pytest.raises(SplitError, match=f"no clip belongs to the split {split}"):
        evaluate(run_dir, other, split=split)


def test_numbered_clips_of_the_same_set_are_known(numbered, own_directory, caplog):
    run_dir, _ = numbered
    trained_on = evaluate(run_dir, None, split="all").num_training_clips
    held_out = evaluate(run_dir, None, split="validation").report.num_clips
    assert trained_on + held_out == 60
    assert "nobody can tell" not in caplog.text


def test_clips_without_labels_cannot_be_judged(run_dir, other_set):
    path, data = other_set
    (path / "labels.npy").unlink()
    with pytest.raises(FeatureSetError, match=r"has no labels\.npy"):
        evaluate(run_dir, data, split="all")


def test_the_columns_of_the_experiment_are_reported_where_the_set_has_them(run_dir, other_set):
    path, data = other_set
    assert set(evaluate(run_dir, None, split="validation").report.by) == {"camera"}
    pd.read_csv(path / "clips.csv").drop(columns="camera").to_csv(path / "clips.csv", index=False)
    assert evaluate(run_dir, data, split="all").report.by == {}


def test_a_column_that_is_asked_for_and_is_not_there_is_refused_before_anything_is_written(
    run_dir,
):
    before = (run_dir / "evaluation.json").read_bytes()
    with pytest.raises(SplitError, match=r"no column age.*clip_id, group, camera"):
        evaluate(run_dir, None, split="all", by=("age",))
    assert (run_dir / "evaluation.json").read_bytes() == before
    assert not (run_dir / "predictions" / "all.csv").exists()


def with_direction(path, *, is_reversed):
    traits = [dataclasses.asdict(trait) for trait in FIRST_IMPRESSIONS]
    traits[4]["is_reversed"] = is_reversed
    metadata = read_json(path) if path.exists() else {}
    write_json(path, {**metadata, "traits": traits})
    if path.name == "data.json":
        record_files(RunDirectory(path.parent), path)


def test_labels_of_the_other_direction_are_refused(run_dir, other_set):
    path, data = other_set
    with_direction(run_dir / "data.json", is_reversed=True)
    with_direction(path / "features.json", is_reversed=False)
    with pytest.raises(FeatureSetError, match="scores neuroticism in the other direction"):
        evaluate(run_dir, data, split="all")


def test_labels_of_an_unknown_direction_are_warned_of(run_dir, other_set, caplog):
    path, data = other_set
    with_direction(run_dir / "data.json", is_reversed=True)
    evaluation = evaluate(run_dir, data, split="all")
    assert f"{path}: does not say in which direction neuroticism is scored" in caplog.text
    assert evaluation.traits == FIRST_IMPRESSIONS


def test_labels_of_the_same_direction_are_taken_without_a_word(run_dir, other_set, caplog):
    path, data = other_set
    with_direction(run_dir / "data.json", is_reversed=True)
    with_direction(path / "features.json", is_reversed=True)
    evaluate(run_dir, data, split="all")
    assert "neuroticism" not in caplog.text
