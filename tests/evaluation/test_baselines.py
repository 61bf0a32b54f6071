import csv

import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.evaluation.baselines import (
    BASELINES,
    fit_baselines,
    load_baselines,
    save_baselines,
)
from pipeline.metrics.regression import trait_metrics

TRAINING = {
    "labels": np.array([[0.1], [0.3], [0.8]]),
    "groups": ["v", "v", "w"],
    "clip_ids": ["v1", "v2", "w1"],
}
FEATURES = (np.array([[0.0], [1.0], [2.0]]), np.array([[5.0, 1.0], [4.0, 1.0], [9.0, 0.0]]))


@pytest.fixture
def baselines():
    return fit_baselines(*FEATURES, **TRAINING, seed=0)


def predict(baselines, groups, clip_ids, labels):
    num_clips = len(groups)
    return baselines.predict(
        np.zeros((num_clips, 1)),
        np.zeros((num_clips, 2)),
        labels=np.reshape(labels, (num_clips, 1)),
        groups=groups,
        clip_ids=clip_ids,
    )


def test_every_baseline_predicts_every_clip(baselines):
    found = predict(baselines, ["v", "x"], ["v9", "x1"], [0.5, 0.6])
    assert tuple(found) == BASELINES
    assert {scores.shape for scores in found.values()} == {(2, 1)}


def test_training_mean_is_the_mean_label_of_the_training_clips(baselines):
    found = predict(baselines, ["v", "x"], ["v9", "x1"], [0.5, 0.6])["training_mean"]
    np.testing.assert_allclose(found, [[0.4], [0.4]])


def test_same_group_mean_counts_training_and_evaluated_clips_but_not_the_clip_itself(baselines):
    found = predict(
        baselines,
        groups=["v", "v", "w", "x", "x", "y"],
        clip_ids=["v3", "v4", "w2", "x1", "x2", "y1"],
        labels=[0.5, 0.9, 0.0, 0.2, 0.6, 0.7],
    )["same_group_mean"]
    expected = [(0.1 + 0.3 + 0.9) / 3, (0.1 + 0.3 + 0.5) / 3, 0.8, 0.6, 0.2, 0.4]
    np.testing.assert_allclose(found[:, 0], expected)


def test_a_training_clip_that_is_evaluated_again_is_counted_once(baselines):
    found = predict(baselines, ["v", "v", "w"], ["v1", "v2", "w1"], [0.1, 0.3, 0.8])
    np.testing.assert_allclose(found["same_group_mean"][:, 0], [0.3, 0.1, 0.4])


def test_only_same_group_mean_reads_the_labels_of_evaluated_clips(baselines):
    first = predict(baselines, ["v", "v"], ["v3", "v4"], [0.5, 0.9])
    second = predict(baselines, ["v", "v"], ["v3", "v4"], [0.0, 0.0])
    for name in BASELINES:
        assert np.array_equal(first[name], second[name]) == (name != "same_group_mean")


def test_ridge_is_linear_and_not_clipped(baselines):
    static, dynamic = np.array([[-500.0], [500.0]]), np.array([[5.0, 1.0]] * 2)
    found = baselines.predict(
        static, dynamic, labels=np.zeros((2, 1)), groups=["a", "b"], clip_ids=["a1", "b1"]
    )["ridge"]
    assert found.min() < 0
    assert found.max() > 1


def test_ridge_reads_both_streams():
    numbers = np.random.default_rng(0)
    static, dynamic = numbers.normal(size=(200, 3)), numbers.normal(size=(200, 2))
    labels = np.column_stack([static[:, 1], dynamic[:, 0]]) * 0.1 + 0.5
    names = np.arange(200).astype(str)
    fitted = fit_baselines(static, dynamic, labels=labels, groups=names, clip_ids=names, seed=0)
    found = fitted.predict(static, dynamic, labels=labels, groups=names, clip_ids=names)["ridge"]
    np.testing.assert_allclose(found, labels, atol=1e-3)


def test_saved_baselines_predict_the_same(tmp_path, baselines):
    save_baselines(tmp_path / "baselines.npz", baselines)
    loaded = load_baselines(tmp_path / "baselines.npz")
    evaluated = (["v", "é"], ["v1", "x1"], [0.5, 0.6])
    expected, found = predict(baselines, *evaluated), predict(loaded, *evaluated)
    for name in BASELINES:
        np.testing.assert_array_equal(found[name], expected[name])
    assert loaded.ridge.alpha == baselines.ridge.alpha


def test_a_saved_file_holds_plain_arrays_only(tmp_path, baselines):
    save_baselines(tmp_path / "baselines.npz", baselines)
    with np.load(tmp_path / "baselines.npz", allow_pickle=False) as stored:
        assert {stored[name].dtype.kind for name in stored} <= set("fiU")


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(RunError, match=r"baselines.npz: there is no such file"):
        load_baselines(tmp_path / "baselines.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY"])
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "baselines.npz").write_bytes(content)
    with pytest.raises(
        RunError, match=r"baselines.npz: cannot be read as arrays .* train the run again"
    ):
        load_baselines(tmp_path / "baselines.npz")


def test_a_file_with_other_arrays_is_refused_by_name(tmp_path):
    np.savez(tmp_path / "baselines.npz", training_mean=np.zeros(5))
    with pytest.raises(RunError, match=r"baselines.npz: does not hold fitted baselines"):
        load_baselines(tmp_path / "baselines.npz")


def test_features_of_another_width_are_refused(baselines):
    with pytest.raises(RunError, match="1 static and 2 dynamic features, found 2 and 1"):
        baselines.predict(
            np.zeros((1, 2)),
            np.zeros((1, 1)),
            labels=np.zeros((1, 1)),
            groups=["v"],
            clip_ids=["a"],
        )


def test_rows_of_different_number_are_refused():
    with pytest.raises(ValueError, match=r"same number of rows everywhere, found \[2, 3\]"):
        fit_baselines(*FEATURES, **{**TRAINING, "groups": ["v", "w"]}, seed=0)


def test_no_clips_are_refused():
    empty = {"labels": np.zeros((0, 5)), "groups": [], "clip_ids": []}
    with pytest.raises(ValueError, match=r"found \[0\]"):
        fit_baselines(np.zeros((0, 3)), np.zeros((0, 3)), **empty, seed=0)


def test_real_clips_give_the_accuracies_that_are_known_for_them(shared_data):
    folder = shared_data / "first_impressions"
    static, dynamic, labels = (
        np.load(folder / f"{name}.npy", allow_pickle=False).astype(float)
        for name in ("static", "dynamic", "labels")
    )
    with (folder / "clips.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    clip_ids, groups = (np.array([row[key] for row in rows]) for key in ("clip_id", "group"))
    held_out = np.isin(groups, np.unique(groups)[::3])
    fitted = fit_baselines(
        static[~held_out],
        dynamic[~held_out],
        labels=labels[~held_out],
        groups=groups[~held_out],
        clip_ids=clip_ids[~held_out],
        seed=0,
    )
    found = fitted.predict(
        static[held_out],
        dynamic[held_out],
        labels=labels[held_out],
        groups=groups[held_out],
        clip_ids=clip_ids[held_out],
    )
    scores = {
        name: trait_metrics(labels[held_out], pred)["accuracy"]["mean"]
        for name, pred in found.items()
    }
    assert scores["training_mean"] == pytest.approx(0.883, abs=0.006)
    assert scores["same_group_mean"] == pytest.approx(0.905, abs=0.006)
    assert scores["ridge"] == pytest.approx(0.918, abs=0.006)
