import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.evaluation.faithfulness import MAX_POINTS, measure_deletion, steps_to_hide

ALL_REAL = np.ones((1, 4), dtype=np.bool_)


def planted(num_clips=30, num_steps=8):
    """Clips whose scores hang on one step each, and a prediction that loses it when hidden."""
    marked = np.random.default_rng(0).integers(num_steps, size=num_clips)
    is_marked = np.arange(num_steps) == marked[:, None]

    def predict(hidden):
        return np.where((hidden & is_marked).any(axis=1)[:, None], 0.5, np.full((1, 5), 0.9))

    return is_marked, predict


def measured(ranking, predict, *, is_real=None, labels=None, **options):
    is_real = np.ones(ranking.shape, dtype=np.bool_) if is_real is None else is_real
    return measure_deletion(
        predict, {"traits": ranking}, is_real, labels=labels, hidden_by="test", seed=0, **options
    )


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, [0, 0, 0, 0]),
        (0.25, [0, 0, 1, 0]),
        (0.5, [1, 0, 1, 0]),
        (1.0, [1, 1, 1, 1]),
    ],
)
def test_the_highest_ranked_are_hidden_first(share, expected):
    hidden = steps_to_hide(np.array([[0.3, 0.1, 0.4, 0.2]]), ALL_REAL, share)
    np.testing.assert_array_equal(hidden, np.array([expected], dtype=np.bool_))


def test_padding_is_never_hidden_and_does_not_count():
    is_real = np.array([[True, True, False, False]])
    hidden = steps_to_hide(np.array([[0.1, 0.2, 0.9, 0.8]]), is_real, 0.5)
    np.testing.assert_array_equal(hidden, [[False, True, False, False]])


@given(
    hnp.arrays(np.float64, (3, 5), elements=st.floats(-1, 1)),
    hnp.arrays(np.bool_, (3, 5)),
    st.floats(0, 1),
)
def test_as_many_are_hidden_as_the_share_says_and_none_outranks_them(ranking, is_real, share):
    hidden = steps_to_hide(ranking, is_real, share)
    assert not (hidden & ~is_real).any()
    assert (np.abs(hidden.sum(axis=1) - share * is_real.sum(axis=1)) <= 0.5 + 1e-9).all()
    for scores, gone, real in zip(ranking, hidden, is_real, strict=True):
        kept = scores[real & ~gone]
        assert not (kept.size and gone.any()) or scores[gone].min() >= kept.max()


def test_a_faithful_ranking_moves_the_scores_at_once_and_its_reverse_last():
    is_marked, predict = planted()
    curves = measured(is_marked.astype(float), predict)
    np.testing.assert_allclose(curves.movement["traits/top"], [[0.0] + [0.4] * 8])
    np.testing.assert_allclose(curves.movement["traits/bottom"], [[0.0] * 8 + [0.4]])


def test_random_orders_lie_between_and_are_drawn_anew():
    is_marked, predict = planted()
    curves = measured(is_marked.astype(float), predict, num_draws=3)
    draws = curves.movement["random"]
    assert draws.shape == (3, 9)
    assert len({tuple(draw) for draw in draws.tolist()}) == 3
    assert curves.area("traits/bottom") < curves.area("random") < curves.area("traits/top")


def test_an_unfaithful_ranking_does_not_separate():
    is_marked, predict = planted(num_clips=400)
    blind = np.random.default_rng(1).random(is_marked.shape)
    curves = measured(blind, predict)
    assert curves.area("traits/top") == pytest.approx(curves.area("random"), abs=0.02)


def test_the_same_seed_draws_the_same_orders():
    is_marked, predict = planted()
    first, second = (measured(is_marked.astype(float), predict).movement for _ in range(2))
    np.testing.assert_array_equal(first["random"], second["random"])


def test_the_error_grows_from_that_of_the_whole_clip():
    is_marked, predict = planted()
    labels = np.full((30, 5), 0.95)
    curves = measured(is_marked.astype(float), predict, labels=labels)
    np.testing.assert_allclose(curves.error["traits/top"], [[0.05] + [0.45] * 8])


def test_without_labels_there_is_no_error():
    is_marked, predict = planted()
    assert measured(is_marked.astype(float), predict).error == {}


def test_long_clips_have_no_more_points_than_are_drawn():
    is_marked, predict = planted(num_steps=100)
    curves = measured(is_marked.astype(float), predict)
    assert len(curves.hidden_share) == MAX_POINTS
    np.testing.assert_allclose(curves.hidden_share[[0, 5, -1]], [0.0, 0.5, 1.0])


def test_clips_of_other_lengths_lose_the_same_share():
    is_real = np.array([[True] * 8, [True] * 4 + [False] * 4])
    hidden_counts = []

    def predict(hidden):
        hidden_counts.append(hidden.sum(axis=1).tolist())
        return np.zeros((2, 5))

    measured(np.random.default_rng(0).random((2, 8)), predict, is_real=is_real)
    assert [0, 0] in hidden_counts
    assert [4, 2] in hidden_counts
    assert [8, 4] in hidden_counts
