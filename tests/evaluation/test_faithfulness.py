import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.evaluation.faithfulness import MAX_POINTS, measure_deletion, steps_to_hide


def planted(num_clips=30, num_steps=8):
    """Return the only relevant step of each clip, and a predictor that depends on it."""
    marked = np.random.default_rng(0).integers(num_steps, size=num_clips)
    is_marked = np.arange(num_steps) == marked[:, None]

    def predict(hidden):
        return np.where((hidden & is_marked).any(axis=1)[:, None], 0.5, np.full((1, 5), 0.9))

    return is_marked.astype(float), predict


def measured(ranking, predict, *, is_real=None, labels=None, **options):
    is_real = np.ones(ranking.shape, dtype=np.bool_) if is_real is None else is_real
    return measure_deletion(
        predict, {"traits": ranking}, is_real, labels=labels, hidden_by="test", seed=0, **options
    )


@pytest.mark.parametrize(
    ("ranking", "is_real", "share", "expected"),
    [
        ([0.3, 0.1, 0.4, 0.2], [1, 1, 1, 1], 0.0, [0, 0, 0, 0]),
        ([0.3, 0.1, 0.4, 0.2], [1, 1, 1, 1], 0.25, [0, 0, 1, 0]),
        ([0.3, 0.1, 0.4, 0.2], [1, 1, 1, 1], 0.5, [1, 0, 1, 0]),
        ([0.3, 0.1, 0.4, 0.2], [1, 1, 1, 1], 1.0, [1, 1, 1, 1]),
        ([0.1, 0.2, 0.9, 0.8], [1, 1, 0, 0], 0.5, [0, 1, 0, 0]),
    ],
)
def test_the_highest_ranked_real_steps_are_hidden(ranking, is_real, share, expected):
    hidden = steps_to_hide(np.array([ranking]), np.array([is_real], np.bool_), share)
    np.testing.assert_array_equal(hidden, np.array([expected], np.bool_))


@given(
    hnp.arrays(np.float64, (3, 5), elements=st.floats(-1, 1)),
    hnp.arrays(np.bool_, (3, 5)),
    st.floats(0, 1),
)
def test_hidden_steps_have_the_share_and_the_highest_ranks(ranking, is_real, share):
    hidden = steps_to_hide(ranking, is_real, share)
    assert not (hidden & ~is_real).any()
    assert (np.abs(hidden.sum(axis=1) - share * is_real.sum(axis=1)) <= 0.5 + 1e-9).all()
    for scores, gone, real in zip(ranking, hidden, is_real, strict=True):
        kept = scores[real & ~gone]
        assert not (kept.size and gone.any()) or scores[gone].min() >= kept.max()


def test_a_faithful_ranking_changes_the_scores_first_and_its_reverse_last():
    ranking, predict = planted()
    curves = measured(ranking, predict, labels=np.full((30, 5), 0.95))
    np.testing.assert_allclose(curves.movement["traits/top"], [[0.0] + [0.4] * 8])
    np.testing.assert_allclose(curves.movement["traits/bottom"], [[0.0] * 8 + [0.4]])
    np.testing.assert_allclose(curves.error["traits/top"], [[0.05] + [0.45] * 8])
    assert measured(ranking, predict).error == {}


def test_random_orders_differ_and_depend_on_the_seed_only():
    ranking, predict = planted()
    curves = measured(ranking, predict, num_orders=3)
    orders = curves.movement["random"]
    assert orders.shape == (3, 9)
    assert len({tuple(order) for order in orders.tolist()}) == 3
    assert curves.area("traits/bottom") < curves.area("random") < curves.area("traits/top")
    np.testing.assert_array_equal(
        measured(ranking, predict, num_orders=3).movement["random"], orders
    )


def test_curves_of_long_clips_have_a_limited_number_of_points():
    curves = measured(*planted(num_steps=100))
    assert len(curves.hidden_share) == MAX_POINTS
    np.testing.assert_allclose(curves.hidden_share[[0, 5, -1]], [0.0, 0.5, 1.0])


def test_the_same_share_is_hidden_in_clips_of_different_lengths():
    is_real = np.array([[True] * 8, [True] * 4 + [False] * 4])
    hidden_counts = []

    def predict(hidden):
        hidden_counts.append(hidden.sum(axis=1).tolist())
        return np.zeros((2, 5))

    measured(np.random.default_rng(0).random((2, 8)), predict, is_real=is_real)
    assert all(counts in hidden_counts for counts in ([0, 0], [4, 2], [8, 4]))
