import csv

import numpy as np
import pytest

from pipeline.core.errors import RunError
from pipeline.core.traits import TRAITS
from pipeline.evaluation.baselines import fit_baselines, load_baselines, save_baselines
from pipeline.metrics.regression import trait_metrics

BASELINES = ("training_mean", "same_group_mean", "ridge")
TRAINING = {
    "labels": np.array([[0.1], [0.3], [0.8]]),
    "groups": ["v", "v", "w"],
    "clip_ids": ["v1", "v2", "w1"],
}
FEATURES = {
    "static": np.array([[0.0], [1.0], [2.0]]),
    "dynamic": np.array([[5.0, 1.0], [4.0, 1.0], [9.0, 0.0]]),
}


@pytest.fixture
def baselines():
    return fit_baselines(FEATURES, **TRAINING, seed=0)


def predict(baselines, groups, clip_ids, labels):
    num_clips = len(groups)
    return baselines.predict(
        {"static": np.zeros((num_clips, 1)), "dynamic": np.zeros((num_clips, 2))},
        labels=np.reshape(labels, (num_clips, 1)),
        groups=groups,
        clip_ids=clip_ids,
    )


def test_every_baseline_predicts_every_clip(baselines):
    found = predict(baselines, ["v", "x"], ["v9", "x1"], [0.5, 0.6])
    assert tuple(found) == BASELINES
    assert {scores.shape for scores in found.values()} == {(2, 1)}
    np.testing.assert_allclose(found["training_mean"], [[0.4], [0.4]])


@pytest.mark.parametrize(
    ("groups", "clip_ids", "labels", "expected"),
    [
        (
            ["v", "v", "w", "x", "x", "y"],
            ["v3", "v4", "w2", "x1", "x2", "y1"],
            [0.5, 0.9, 0.0, 0.2, 0.6, 0.7],
            [(0.1 + 0.3 + 0.9) / 3, (0.1 + 0.3 + 0.5) / 3, 0.8, 0.6, 0.2, 0.4],
        ),
        # Training clips that are evaluated again are counted once.
        (["v", "v", "w"], ["v1", "v2", "w1"], [0.1, 0.3, 0.8], [0.3, 0.1, 0.4]),
    ],
)
def test_same_group_mean_averages_the_other_clips_of_the_group(
    baselines, groups, clip_ids, labels, expected
):
    found = predict(baselines, groups, clip_ids, labels)["same_group_mean"]
    np.testing.assert_allclose(found[:, 0], expected)


def test_without_other_clips_in_any_group_there_is_no_same_group_mean(baselines):
    found = predict(baselines, ["x", "y"], ["x1", "y1"], [0.5, 0.6])
    assert tuple(found) == ("training_mean", "ridge")
    # `w1` is the only clip of its group, and it is evaluated itself.
    assert "same_group_mean" not in predict(baselines, ["w"], ["w1"], [0.8])
    assert "same_group_mean" in predict(baselines, ["w", "x"], ["w2", "x1"], [0.8, 0.1])


def test_only_same_group_mean_uses_the_labels_of_evaluated_clips(baselines):
    first = predict(baselines, ["v", "v"], ["v3", "v4"], [0.5, 0.9])
    second = predict(baselines, ["v", "v"], ["v3", "v4"], [0.0, 0.0])
    for name in BASELINES:
        assert np.array_equal(first[name], second[name]) == (name != "same_group_mean")


def test_ridge_scores_are_not_clipped(baselines):
    features = {"static": np.array([[-500.0], [500.0]]), "dynamic": np.array([[5.0, 1.0]] * 2)}
    found = baselines.predict(
        features, labels=np.zeros((2, 1)), groups=["a", "b"], clip_ids=["a1", "b1"]
    )["ridge"]
    assert found.min() < 0
    assert found.max() > 1


def test_ridge_uses_both_streams():
    numbers = np.random.default_rng(0)
    static, dynamic = numbers.normal(size=(200, 3)), numbers.normal(size=(200, 2))
    labels = np.column_stack([static[:, 1], dynamic[:, 0]]) * 0.1 + 0.5
    names = np.arange(200).astype(str)
    features = {"static": static, "dynamic": dynamic}
    fitted = fit_baselines(features, labels=labels, groups=names, clip_ids=names, seed=0)
    found = fitted.predict(features, labels=labels, groups=names, clip_ids=names)["ridge"]
    np.testing.assert_allclose(found, labels, atol=1e-3)


def test_saved_baselines_predict_the_same_scores(tmp_path, baselines):
    path = tmp_path / "baselines.npz"
    save_baselines(path, baselines)
    loaded = load_baselines(path)
    evaluated = (["v", "é"], ["v1", "x1"], [0.5, 0.6])
    expected, found = predict(baselines, *evaluated), predict(loaded, *evaluated)
    for name in BASELINES:
        np.testing.assert_array_equal(found[name], expected[name])
    assert loaded.ridge.alpha == baselines.ridge.alpha
    with np.load(path, allow_pickle=False) as stored:
        assert {stored[name].dtype.kind for name in stored} <= set("fiU")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"baselines.npz: there is no such file"),
        (b"", r"baselines.npz: cannot be read as arrays .* start a new run"),
        (b"PK\x03\x04 cut", r"baselines.npz: cannot be read as arrays .* start a new run"),
        ("other arrays", r"baselines.npz: does not contain fitted baselines"),
    ],
)
def test_a_missing_or_damaged_file_is_an_error(tmp_path, content, message):
    path = tmp_path / "baselines.npz"
    if content == "other arrays":
        np.savez(path, training_mean=np.zeros(5))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        load_baselines(path)


def test_features_of_another_width_are_an_error(baselines):
    clip = {"labels": np.zeros((1, 1)), "groups": ["v"], "clip_ids": ["a"]}
    with pytest.raises(RunError, match="1 static and 2 dynamic features, but there are 2 static"):
        baselines.predict({"static": np.zeros((1, 2)), "dynamic": np.zeros((1, 1))}, **clip)


@pytest.mark.parametrize(
    ("features", "changes", "found"),
    [
        (FEATURES, {"groups": ["v", "w"]}, r"\[2, 3\]"),
        (dict.fromkeys(FEATURES, np.zeros((0, 3))), dict.fromkeys(TRAINING, ()), r"\[0\]"),
    ],
)
def test_different_numbers_of_rows_or_no_rows_are_an_error(features, changes, found):
    with pytest.raises(ValueError, match=f"same number of rows everywhere, found {found}"):
        fit_baselines(features, **TRAINING | changes, seed=0)


def test_real_clips_give_the_known_accuracies(shared_data):
    folder = shared_data / "first_impressions"
    static, dynamic, labels = (
        np.load(folder / f"{name}.npy", allow_pickle=False).astype(float)
        for name in ("static", "dynamic", "labels")
    )
    with (folder / "clips.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    clip_ids, groups = (np.array([row[key] for row in rows]) for key in ("clip_id", "group"))
    held_out = np.isin(groups, np.unique(groups)[::3])

    def clips(chosen):
        names = {"groups": groups[chosen], "clip_ids": clip_ids[chosen]}
        features = {"static": static[chosen], "dynamic": dynamic[chosen]}
        return features, {"labels": labels[chosen]} | names

    features, described = clips(~held_out)
    fitted = fit_baselines(features, **described, seed=0)
    features, described = clips(held_out)
    scores = {
        name: trait_metrics(labels[held_out], scores, trait_names=TRAITS)["accuracy"]["mean"]
        for name, scores in fitted.predict(features, **described).items()
    }
    expected = {"training_mean": 0.883, "same_group_mean": 0.905, "ridge": 0.918}
    assert scores == pytest.approx(expected, abs=0.006)


def test_any_number_of_streams_is_used():
    one = {"audio": FEATURES["dynamic"]}
    three = {**FEATURES, "audio": np.array([[np.nan], [1.0], [3.0]])}
    clip = {"labels": np.zeros((1, 1)), "groups": ["v"], "clip_ids": ["a"]}
    for features in (one, three):
        fitted = fit_baselines(features, **TRAINING, seed=0)
        evaluated = {name: np.full((1, rows.shape[1]), np.nan) for name, rows in features.items()}
        ridge = fitted.predict(evaluated, **clip)["ridge"]
        np.testing.assert_allclose(ridge, [[0.4]])  # the mean of the training clips


def test_features_of_other_streams_are_an_error(baselines):
    clip = {"labels": np.zeros((1, 1)), "groups": ["v"], "clip_ids": ["a"]}
    features = {"dynamic": np.zeros((1, 2)), "static": np.zeros((1, 1))}
    with pytest.raises(RunError, match="1 static and 2 dynamic features, but there are 2 dynamic"):
        baselines.predict(features, **clip)


def test_a_file_of_an_early_version_is_read(tmp_path, baselines):
    save_baselines(tmp_path / "new.npz", baselines)
    with np.load(tmp_path / "new.npz", allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored}
    del arrays["stream_names"], arrays["widths"]
    np.savez(tmp_path / "old.npz", **arrays, static_width=1)
    evaluated = (["v"], ["v1"], [0.5])
    expected = predict(baselines, *evaluated)["ridge"]
    found = predict(load_baselines(tmp_path / "old.npz"), *evaluated)["ridge"]
    np.testing.assert_array_equal(found, expected)
