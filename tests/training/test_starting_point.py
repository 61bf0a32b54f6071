import numpy as np
import pytest

from pipeline.training.starting_point import standard_error

pytestmark = pytest.mark.slow


def test_the_standard_error_of_single_clip_groups_is_that_of_a_mean():
    values = np.array([1.0, 2.0, 4.0, 5.0])
    expected = values.std(ddof=1) / 2
    assert standard_error(values, ["a", "b", "c", "d"]) == pytest.approx(expected)


def test_equal_clips_of_a_group_count_once():
    values = np.array([1.0, 1.0, 5.0, 5.0])
    # Two groups with the sums -4 and 4 around the mean: sqrt(2 * 32) / 4.
    assert standard_error(values, ["a", "a", "b", "b"]) == pytest.approx(2.0)


def test_one_group_has_an_infinite_standard_error():
    assert standard_error(np.array([1.0, 2.0]), ["a", "a"]) == float("inf")


def test_the_start_is_restored_if_no_epoch_is_clearly_better(laboratory, tmp_path):
    network = laboratory.network()
    before = [np.array(variable) for variable in network.variables]
    fitted = laboratory.fit(
        tmp_path / "run", network=network, start="candidate", learning_rate=1e-9
    )
    assert fitted.result.best_epoch == 0
    assert fitted.result.best_metrics is not None
    assert fitted.result.best_value == fitted.result.best_metrics["mae"]["mean"]
    for variable, array in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, array)


def test_a_clearly_better_epoch_replaces_the_start(laboratory, tmp_path):
    network = laboratory.network()
    network.get_layer("scores").bias.assign([5.0] * 5)  # all scores are almost 1
    fitted = laboratory.fit(
        tmp_path / "run", network=network, start="candidate", learning_rate=0.1, num_epochs=20
    )
    assert fitted.result.best_epoch > 0


def test_a_final_start_is_restored_without_validation_clips(laboratory, tmp_path):
    network = laboratory.network()
    before = [np.array(variable) for variable in network.variables]
    fitted = laboratory.fit(tmp_path / "run", network=network, start="final", validated=False)
    assert fitted.result.best_epoch == 0
    for variable, array in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, array)
