"""A person sees how the search stands; a log gets a line a trial."""

import io

import optuna
import pytest
import rich.console
from optuna.trial import TrialState

from pipeline.search.progress import SearchProgress
from pipeline.search.study.study_status import read_standing


def console(*, is_terminal):
    return rich.console.Console(file=io.StringIO(), force_terminal=is_terminal, width=120)


def progress(*, is_terminal=False, **limits):
    limits = {"num_trials": 10, "timeout_seconds": None, **limits}
    return SearchProgress(["mae"], **limits, console=console(is_terminal=is_terminal))


def text(shown):
    return shown._console.file.getvalue()


@pytest.fixture
def study():
    study = optuna.create_study()
    done = study.ask()
    done.set_user_attr("overrides", {"model.fusion_dim": 32, "training.learning_rate": 0.0012345})
    study.tell(done, 0.0875)
    pruned = study.ask()
    pruned.report(0.2, 3)
    study.tell(pruned, state=TrialState.PRUNED)
    failed = study.ask()
    failed.set_user_attr("reason", "TrainingError: the loss is not finite")
    study.tell(failed, state=TrialState.FAIL)
    running = study.ask()
    running.report(0.3, 2)
    return study


def test_a_log_gets_a_line_a_trial(study):
    shown = progress()
    with shown:
        for trial in study.get_trials()[:3]:
            shown.tell(trial)
        shown.show(read_standing(study))
    assert text(shown).splitlines() == [
        "trial 0 complete: mae 0.0875",
        "trial 1 pruned: mae 0.20000 of epoch 3",
        "trial 2 failed: TrainingError: the loss is not finite",
    ]


def test_a_terminal_shows_a_table_of_all(study):
    shown = progress(is_terminal=True)
    with shown:
        for trial in study.get_trials()[:3]:
            shown.tell(trial)
        shown.show(read_standing(study))
    table = text(shown)
    for part in (
        "3 of 10 trials: 1 complete, 1 pruned, 1 failed, 1 running",
        "epoch 2: 0.3",
        "fusion_dim 32, learning_rate 0.00123",
        "best",
    ):
        assert part in table


def test_a_lost_worker_is_told(study):
    shown = progress()
    shown.tell_lost(study.get_trials()[0], is_retried=True)
    shown.tell_lost(study.get_trials()[1], is_retried=False)
    assert text(shown).splitlines() == [
        "trial 0 lost: its worker is gone; it will be tried again",
        "trial 1 lost: its worker is gone; it is given up",
    ]


def test_a_line_says_how_the_search_stands(study):
    shown = progress()
    shown.show(read_standing(study))
    shown.tell(study.get_trials()[0])
    assert text(shown).endswith("(3 of 10 done, best so far mae 0.0875 of trial 0)\n")


def test_the_time_that_is_left_is_that_of_the_pace_of_this_call(study, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("pipeline.search.progress.time.monotonic", lambda: now[0])
    shown = progress(is_terminal=True)
    with shown:
        shown.show(read_standing(study))
        now[0] = 160.0
        study.tell(study.ask(), 0.5)
        shown.show(read_standing(study))
    assert "about 6 min left" in text(shown)


def test_a_limit_in_time_is_counted_down(study, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("pipeline.search.progress.time.monotonic", lambda: now[0])
    shown = progress(is_terminal=True, num_trials=None, timeout_seconds=60)
    with shown:
        now[0] = 20.0
        shown.show(read_standing(study))
    assert "about 40 s left" in text(shown)
