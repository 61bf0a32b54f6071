"""What the ends of epochs cost is measured, and told by what it was spent on."""

from types import SimpleNamespace

import pytest

from pipeline.training.callback_timer import EpochEndTimer


@pytest.fixture
def timer(monkeypatch):
    """Two ends of epochs that took three and four seconds."""
    ticks = iter([10.0, 13.0, 20.0, 24.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    timer = EpochEndTimer()
    for epoch in range(2):
        timer.first.on_epoch_end(epoch, {})
        timer.last.on_epoch_end(epoch, {})
    return timer


def spending(seconds):
    return SimpleNamespace(seconds=seconds)


def test_the_parts_add_up_to_the_whole(timer):
    parts = timer.parts([spending(1.0), spending(0.5)], spending(2.0))
    assert parts == {"logging": 1.5, "checkpoint": 2.0, "callbacks": 3.5}


def test_no_part_is_negative(timer):
    # The logs are written once more when training begins, which is no end of an epoch.
    assert timer.parts([spending(9.0)], spending(2.0))["callbacks"] == 0.0


def test_a_fit_tells_the_parts(laboratory, tmp_path):
    parts = laboratory.fit(tmp_path, num_epochs=1).result.callback_seconds
    assert set(parts) == {"logging", "checkpoint", "callbacks"}
    assert parts["logging"] > 0
    assert parts["checkpoint"] > 0
