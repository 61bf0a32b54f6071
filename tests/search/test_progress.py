"""A terminal shows a table. Other outputs contain one line per trial."""

import io

import optuna
import pytest
import rich.console
from optuna.trial import TrialState

from pipeline.core import progress_lines
from pipeline.search.progress import SearchProgress
from pipeline.search.study.study_status import read_status


@pytest.fixture
def make_progress():
    """Return a function that builds a progress display and its output stream."""

    def make(*, is_terminal=False, **limits):
        stream = io.StringIO()
        console = rich.console.Console(file=stream, force_terminal=is_terminal, width=120)
        limits = {"num_trials": 10, "timeout_seconds": None, **limits}
        return SearchProgress(["mae"], **limits, console=console), stream

    return make


@pytest.fixture
def study():
    """A study with a complete, a pruned, a failed and a running trial."""
    study = optuna.create_study()
    complete = study.ask()
    overrides = {"model.fusion_dim": 32, "training.learning_rate": 0.0012345}
    complete.set_user_attr("overrides", overrides)
    study.tell(complete, 0.0875)
    pruned = study.ask()
    pruned.report(0.2, 3)
    study.tell(pruned, state=TrialState.PRUNED)
    failed = study.ask()
    failed.set_user_attr("reason", "TrainingError: the loss is not finite")
    study.tell(failed, state=TrialState.FAIL)
    study.ask().report(0.3, 2)
    return study


def test_a_log_contains_one_line_per_trial(make_progress, study):
    progress, stream = make_progress()
    with progress:
        for trial in study.get_trials()[:3]:
            progress.show_end(trial)
        progress.show(read_status(study))
        progress.show_end(study.get_trials()[0])
    complete, pruned, failed, with_status = stream.getvalue().splitlines()
    assert complete == "trial 0 complete: mae 0.0875"
    assert pruned == "trial 1 pruned: mae 0.20000 after epoch 3"
    assert failed == "trial 2 failed: TrainingError: the loss is not finite"
    assert "3 of 10 done, best: trial 0 with mae 0.0875" in with_status


def test_a_log_contains_the_number_of_running_trials_while_no_trial_ends(
    make_progress, study, monkeypatch
):
    progress, stream = make_progress()
    progress.show(read_status(study))
    assert stream.getvalue() == ""
    monkeypatch.setattr(progress_lines, "LINE_SECONDS", 0.0)
    progress.show(read_status(study))
    assert stream.getvalue().startswith("3 of 10 trials: 1 complete, 1 pruned, 1 failed, 1 running")


def test_a_terminal_shows_a_table(make_progress, study):
    progress, stream = make_progress(is_terminal=True)
    with progress:
        for trial in study.get_trials()[:3]:
            progress.show_end(trial)
        progress.show(read_status(study))
    for part in (
        "3 of 10 trials: 1 complete, 1 pruned, 1 failed, 1 running",
        "epoch 2: 0.3",
        "fusion_dim 32, learning_rate 0.00123",
        "best",
    ):
        assert part in stream.getvalue()


@pytest.mark.parametrize(
    ("is_retried", "text"), [(True, "will be tried again"), (False, "no retries are left")]
)
def test_a_lost_trial_is_shown(make_progress, study, is_retried, text):
    progress, stream = make_progress()
    progress.show_lost(study.get_trials()[0], is_retried=is_retried)
    assert stream.getvalue().startswith("trial 0 lost: ")
    assert text in stream.getvalue()


@pytest.mark.parametrize(
    ("limits", "text"),
    [({}, "about 6 min left"), ({"num_trials": None, "timeout_seconds": 100}, "about 40 s left")],
    ids=["from the trials of this call", "from the time limit"],
)
def test_the_remaining_time_is_shown(make_progress, study, monkeypatch, limits, text):
    now = [0.0]
    monkeypatch.setattr("pipeline.search.progress.time.monotonic", lambda: now[0])
    progress, stream = make_progress(is_terminal=True, **limits)
    with progress:
        progress.show(read_status(study))
        now[0] = 60.0
        study.tell(study.ask(), 0.5)
        progress.show(read_status(study))
    assert text in stream.getvalue()
