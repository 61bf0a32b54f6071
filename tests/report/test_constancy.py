"""The spread of annotations and predictions follows from the metrics alone."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.core.seeds import generator
from pipeline.core.traits import TRAITS
from pipeline.metrics.regression import trait_metrics
from pipeline.report.constancy import spread_of
from pipeline.report.records import Estimate


def spread(y_true, y_pred, trait=TRAITS[0]):
    scores = {
        metric: {name: Estimate(value=value) for name, value in by_trait.items()}
        for metric, by_trait in trait_metrics(y_true, y_pred).items()
    }
    return spread_of(scores, trait)


@given(
    seed=st.integers(0, 1000),
    slope=st.floats(-2, 2),
    offset=st.floats(-0.5, 0.5),
    noise=st.floats(0.01, 0.3),
)
def test_both_standard_deviations_are_recovered(seed, slope, offset, noise):
    draw = generator(seed, "constancy")
    y_true = draw.uniform(size=(40, 5))
    y_pred = slope * y_true + offset + noise * draw.normal(size=(40, 5))
    # Where nothing correlates, the prediction's spread is a quotient of two zeros.
    assume(abs(np.corrcoef(y_true[:, 2], y_pred[:, 2])[0, 1]) > 1e-3)

    found = spread(y_true, y_pred, TRAITS[2])

    assert found.label_sd == pytest.approx(y_true[:, 2].std(), rel=1e-6)
    assert found.ratio == pytest.approx(y_pred[:, 2].std() / y_true[:, 2].std(), rel=1e-6)


def test_constant_predictions_do_not_vary():
    y_true = generator(0, "constancy").uniform(size=(10, 5))

    found = spread(y_true, np.full((10, 5), 0.3))

    assert found.ratio == 0.0
    assert found.label_sd == pytest.approx(y_true[:, 0].std())


@pytest.mark.parametrize("predicted", [0.5, 0.7])
def test_constant_annotations_have_no_spread(predicted):
    y_true = np.full((10, 5), 0.5)

    assert spread(y_true, np.full((10, 5), predicted)).label_sd == 0.0


def test_a_perfect_fit_varies_as_much_as_the_annotations():
    y_true = generator(0, "constancy").uniform(size=(10, 5))

    assert spread(y_true, y_true).ratio == 1.0
