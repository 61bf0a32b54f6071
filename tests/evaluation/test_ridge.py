import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.evaluation import ridge
from pipeline.evaluation.ridge import ALPHAS, fit_ridge


def linear_data(num_clips, num_features, *, noise=0.5):
    numbers = np.random.default_rng(0)
    features = numbers.normal(3, 2, (num_clips, num_features))
    weights = numbers.normal(size=(num_features, 5)) / num_features
    labels = features @ weights + numbers.normal(0, noise, (num_clips, 5))
    return features, labels, np.arange(num_clips) // 2


@pytest.mark.parametrize(("num_clips", "num_features"), [(60, 7), (20, 50), (9, 600)])
def test_the_fit_equals_scikit_learn_with_as_many_and_with_more_features_than_clips(
    monkeypatch, num_clips, num_features
):
    features, labels, groups = linear_data(num_clips, num_features)
    monkeypatch.setattr(ridge, "ALPHAS", (3.0,))
    found = fit_ridge(features, labels, groups, seed=0).predict(features)
    expected = make_pipeline(StandardScaler(), Ridge(alpha=3.0)).fit(features, labels)
    np.testing.assert_allclose(found, expected.predict(features), rtol=1e-9)


@pytest.mark.parametrize("num_features", [7, 80])
def test_penalty_and_weights_are_those_of_scikit_learn(num_features):
    features, labels, groups = linear_data(60, num_features)
    standardised = StandardScaler().fit_transform(features)
    folds = ridge._folds(groups, seed=0)
    search = RidgeCV(list(ALPHAS), cv=folds, scoring="neg_mean_squared_error")
    expected = search.fit(standardised, labels)
    found = fit_ridge(features, labels, groups, seed=0)
    assert found.alpha == expected.alpha_
    np.testing.assert_allclose(found.coefficients, expected.coef_.T, atol=1e-12)
    np.testing.assert_allclose(found.intercept, expected.intercept_, atol=1e-12)


class OnDisk:
    """Stands for an array, and keeps count of what is read of it at once."""

    def __init__(self, values):
        self._values = values
        self.shape = values.shape
        self.most = 0

    def __getitem__(self, part):
        self.most = max(self.most, len(self._values[part]))
        return self._values[part]


def test_a_part_of_the_features_is_in_memory_at_a_time(monkeypatch):
    features, labels, groups = linear_data(90, 6)
    whole = fit_ridge(features, labels, groups, seed=0)
    monkeypatch.setattr(ridge, "_CHUNK_BYTES", 8 * 6 * 10)
    on_disk = OnDisk(features)
    in_parts = fit_ridge(on_disk, labels, groups, seed=0)
    assert in_parts.alpha == whole.alpha
    np.testing.assert_allclose(in_parts.coefficients, whole.coefficients, atol=1e-12)
    np.testing.assert_allclose(in_parts.predict(on_disk), whole.predict(features), atol=1e-12)
    assert on_disk.most == 10


def test_the_penalty_errs_least_on_held_out_groups():
    features, labels, groups = linear_data(100, 30)
    standardised = StandardScaler().fit_transform(features)
    for seed in range(3):
        errors = {
            alpha: np.mean(
                [
                    np.mean((held_out_fit(standardised, labels, fold, alpha)) ** 2)
                    for fold in ridge._folds(groups, seed=seed)
                ]
            )
            for alpha in ALPHAS
        }
        assert fit_ridge(features, labels, groups, seed=seed).alpha == min(errors, key=errors.get)


def held_out_fit(features, labels, fold, alpha):
    train, held_out = fold
    fit = Ridge(alpha).fit(features[train], labels[train])
    return fit.predict(features[held_out]) - labels[held_out]


def test_noise_is_met_with_the_largest_penalties():
    numbers = np.random.default_rng(1)
    found = fit_ridge(numbers.normal(size=(60, 20)), numbers.random((60, 5)), np.arange(60), seed=0)
    assert found.alpha >= 100


@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=40), seed=st.integers(0, 99))
def test_no_group_is_in_two_folds(groups, seed):
    folds = ridge._folds(np.array(groups), seed=seed)
    num_groups = len(set(groups))
    if num_groups > 1:
        assert len(folds) == min(5, num_groups)
        for train, held_out in folds:
            assert set(np.array(groups)[train]).isdisjoint(np.array(groups)[held_out])


def test_one_group_is_held_out_clip_by_clip():
    folds = ridge._folds(np.zeros(10, dtype=int), seed=0)
    assert sorted(row for _, held_out in folds for row in held_out) == list(range(10))
    assert {len(held_out) for _, held_out in folds} == {2}


@pytest.mark.parametrize("num_clips", [1, 2, 3, 9])
@pytest.mark.parametrize("one_group", [True, False])
def test_a_handful_of_clips_is_enough(num_clips, one_group):
    features, labels, groups = linear_data(num_clips, 512)
    found = fit_ridge(features, labels, groups * (not one_group), seed=0)
    assert np.isfinite(found.predict(features)).all()


def test_one_clip_is_predicted_everywhere():
    features, labels, groups = linear_data(1, 8)
    found = fit_ridge(features, labels, groups, seed=0)
    np.testing.assert_allclose(found.predict(features + 100), labels)


def test_a_feature_that_never_varied_has_no_say():
    features, labels, groups = linear_data(40, 3)
    features[:, 1] = np.float32(0.1)
    found = fit_ridge(features, labels, groups, seed=0)
    moved = features.copy()
    moved[:, 1] += 1000
    np.testing.assert_allclose(found.predict(moved), found.predict(features), atol=1e-8)


def test_the_unit_of_a_feature_does_not_matter():
    features, labels, groups = linear_data(40, 3)
    scaled = features * [1e-4, 1.0, 1e6]
    np.testing.assert_allclose(
        fit_ridge(scaled, labels, groups, seed=0).predict(scaled),
        fit_ridge(features, labels, groups, seed=0).predict(features),
        rtol=1e-7,
    )
