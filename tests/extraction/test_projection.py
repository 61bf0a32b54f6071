"""A fixed projection keeps distances and learns nothing."""

import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.extraction.encoders.projection import gaussian_projection

CORNER = [
    [-0.019228534772992134, 0.09193197637796402],
    [-0.036563530564308167, 0.013606708496809006],
]


def test_distances_are_kept_on_average():
    vectors = np.random.default_rng(1).normal(size=(40, 2048)).astype(np.float32)
    projected = vectors @ gaussian_projection(2048, 512, seed=0)
    ratios = np.linalg.norm(projected[1:] - projected[:-1], axis=1) / np.linalg.norm(
        vectors[1:] - vectors[:-1], axis=1
    )
    assert ratios.mean() == pytest.approx(1.0, abs=0.03)
    assert ratios.std() < 0.06


def test_the_draws_are_the_same_each_time_and_others_for_another_seed():
    first = gaussian_projection(64, 8, seed=0)
    np.testing.assert_array_equal(first, gaussian_projection(64, 8, seed=0))
    assert not np.allclose(first, gaussian_projection(64, 8, seed=1))
    assert first.dtype == np.float32


def test_the_draws_are_those_that_published_features_have():
    # Another generator, or another order of draws, would break every feature set there is.
    corner = gaussian_projection(2048, 512, seed=0)[:2, :2]
    np.testing.assert_allclose(corner, CORNER, atol=1e-7)


def test_vectors_are_not_made_wider():
    with pytest.raises(ConfigError, match=r"100 wide and cannot be projected to 512.*at most 100"):
        gaussian_projection(100, 512, seed=0)
