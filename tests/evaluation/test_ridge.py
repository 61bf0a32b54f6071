import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.evaluation import ridge
from pipeline.evaluation.ridge import ALPHAS, fit_ridge


def linear_data(num_clips, num_features):
    numbers = np.random.default_rng(0)
    features = numbers.normal(3, 2, (num_clips, num_features))
    weights = numbers.normal(size=(num_features, 5)) / num_features
    labels = features @ weights + numbers.normal(0, 0.5, (num_clips, 5))
    return features, labels, np.arange(num_clips) // 2


@pytest.mark.parametrize(("num_clips", "num_features"), [(60, 7), (20, 50), (9, 600)])
def test_the_fit_equals_scikit_learn_for_any_number_of_features(
    monkeypatch, num_clips, num_features
):
    features, labels, groups = linear_data(num_clips, num_features)
    monkeypatch.setattr(ridge, "ALPHAS", (3.0,))
    found = fit_ridge(features, labels, groups, seed=0).predict(features)
    expected = make_pipeline(StandardScaler(), Ridge(alpha=3.0)).fit(features, labels)
    np.testing.assert_allclose(found, expected.predict(features), rtol=1e-9)


@pytest.mark.parametrize("one_group", [True, False])
@pytest.mark.parametrize("num_features", [7, 80])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_penalty_and_weights_equal_scikit_learn_on_held_out_groups(num_features, one_group, seed):
    features, labels, groups = linear_data(60, num_features)
    # With one group only, single clips are held out.
    units = np.arange(60) if one_group else groups
    folds = list(GroupKFold(5, shuffle=True, random_state=seed).split(units, groups=units))
    search = RidgeCV(list(ALPHAS), cv=folds, scoring="neg_mean_squared_error")
    expected = search.fit(StandardScaler().fit_transform(features), labels)
    found = fit_ridge(features, labels, groups * (not one_group), seed=seed)
    assert found.alpha == expected.alpha_
    np.testing.assert_allclose(found.coefficients, expected.coef_.T, atol=1e-12)
    np.testing.assert_allclose(found.intercept, expected.intercept_, atol=1e-12)


@pytest.mark.parametrize("chunk_bytes", [2**26, 8 * 7 * 9])
def test_mean_and_scale_equal_scikit_learn_exactly(monkeypatch, chunk_bytes):
    features, labels, groups = linear_data(60, 7)
    features[:, 3] = 0.1  # its computed variance is not exactly zero
    features[::5, 4] = np.nan
    scaler = StandardScaler()
    step = chunk_bytes // (8 * 7)
    for begin in range(0, 60, step):
        scaler.partial_fit(features[begin : begin + step])
    monkeypatch.setattr(ridge, "_CHUNK_BYTES", chunk_bytes)
    found = fit_ridge(features, labels, groups, seed=0)
    np.testing.assert_array_equal(found.feature_mean, scaler.mean_)
    np.testing.assert_array_equal(found.feature_scale, scaler.scale_)


@pytest.mark.parametrize("missing", [slice(0, 9), slice(9, 20)])
def test_a_feature_that_is_missing_in_a_whole_chunk_is_used(monkeypatch, missing):
    features, labels, groups = linear_data(60, 7)
    features[missing, 2] = np.nan
    monkeypatch.setattr(ridge, "_CHUNK_BYTES", 8 * 7 * 9)
    found = fit_ridge(features, labels, groups, seed=0)
    np.testing.assert_allclose(found.feature_mean, np.nanmean(features, axis=0))
    np.testing.assert_allclose(found.feature_scale, np.nanstd(features, axis=0))


class OnDisk:
    """Array replacement that records the largest number of rows per read."""

    def __init__(self, values):
        self._values = values
        self.shape = values.shape
        self.max_rows = 0

    def __getitem__(self, part):
        self.max_rows = max(self.max_rows, len(self._values[part]))
        return self._values[part]


def test_features_are_read_in_chunks(monkeypatch):
    features, labels, groups = linear_data(90, 6)
    whole = fit_ridge(features, labels, groups, seed=0)
    monkeypatch.setattr(ridge, "_CHUNK_BYTES", 8 * 6 * 10)
    on_disk = OnDisk(features)
    in_chunks = fit_ridge(on_disk, labels, groups, seed=0)
    assert in_chunks.alpha == whole.alpha
    np.testing.assert_allclose(in_chunks.coefficients, whole.coefficients, atol=1e-12)
    np.testing.assert_allclose(in_chunks.predict(on_disk), whole.predict(features), atol=1e-12)
    assert on_disk.max_rows == 10


@pytest.mark.parametrize("num_clips", [1, 2, 3, 9])
@pytest.mark.parametrize("one_group", [True, False])
def test_a_few_clips_are_enough(num_clips, one_group):
    features, labels, groups = linear_data(num_clips, 512)
    found = fit_ridge(features, labels, groups * (not one_group), seed=0)
    assert np.isfinite(found.predict(features)).all()
    if num_clips == 1:
        np.testing.assert_allclose(found.predict(features + 100), labels)


def test_a_constant_feature_has_no_effect():
    features, labels, groups = linear_data(40, 3)
    features[:, 1] = np.float32(0.1)
    found = fit_ridge(features, labels, groups, seed=0)
    moved = features.copy()
    moved[:, 1] += 1000
    np.testing.assert_allclose(found.predict(moved), found.predict(features), atol=1e-8)


def test_a_missing_feature_has_the_mean_of_the_training_clips():
    rng = np.random.default_rng(0)
    features, groups = rng.normal(size=(60, 3)), np.arange(60) // 3
    labels = features @ rng.normal(size=(3, 2))
    features[::4, 1] = np.nan
    ridge = fit_ridge(features, labels, groups, seed=0)
    np.testing.assert_allclose(ridge.feature_mean, np.nanmean(features, axis=0))
    filled = np.where(np.isnan(features), ridge.feature_mean, features)
    np.testing.assert_allclose(ridge.predict(features), ridge.predict(filled))
    assert np.isfinite(ridge.predict(features)).all()


def test_a_feature_that_all_training_clips_lack_is_ignored():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(30, 2)), rng.normal(size=(30, 1))
    expected = fit_ridge(features, labels, np.arange(30), seed=0)
    wider = np.column_stack([features, np.full(30, np.nan)])
    ridge = fit_ridge(wider, labels, np.arange(30), seed=0)
    np.testing.assert_allclose(ridge.predict(wider), expected.predict(features))
