"""The progress bar speaks to people at a terminal, and to nobody else."""

import io

import pytest
import rich.console

from pipeline.training.progress import ProgressBar


@pytest.fixture
def show():
    """A function that draws epochs with the given scores and returns what was written."""

    def draw(scores, *, terminal=True, first_epoch=0, **settings) -> str:
        stream = io.StringIO()
        console = rich.console.Console(file=stream, force_terminal=terminal, width=200)
        bar = ProgressBar(
            9, console=console, **{"monitor": "val_mae", "maximize": False} | settings
        )
        bar.on_train_begin()
        for epoch, score in enumerate(scores, start=first_epoch):
            bar.on_epoch_begin(epoch)
            bar.on_epoch_end(epoch, {"loss": 0.5, bar._monitor: score})
        bar.close()
        return stream.getvalue()

    return draw


def test_the_newest_and_the_best_score_are_shown(show):
    assert "loss 0.5000  val_mae 0.3000  best 0.2000" in show([0.4, 0.2, 0.3])


def test_the_best_may_be_the_largest(show):
    assert "val_r2 0.3000  best 0.4000" in show([0.4, 0.3], monitor="val_r2", maximize=True)


def test_a_resumed_run_knows_the_best_of_the_epochs_behind_it(show):
    text = show([0.3], first_epoch=4, best=0.1)
    assert "epoch 5/9" in text
    assert "val_mae 0.3000  best 0.1000" in text


def test_nothing_is_written_where_nobody_watches(show):
    assert show([0.4, 0.2], terminal=False) == ""
