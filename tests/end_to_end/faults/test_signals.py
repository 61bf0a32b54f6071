"""A signal ends a run within seconds, and the command in its last line resumes the run."""

import re
import shlex
import signal
import time

import pytest

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import read_last_status
from tests.end_to_end.faults.campaign import only_full, sampled, stream
from tests.end_to_end.faults.comparing import compare_with_reference
from tests.end_to_end.faults.mlflow_database import read_runs

pytestmark = pytest.mark.slow

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_END_SECONDS = 8
"""Time limit of the end of a run on an idle machine."""

CASES = sampled([(name, number) for number in range(7) for name in SIGNALS], 3, "signals")


@pytest.mark.parametrize(
    ("number", "repeat"), CASES, ids=lambda value: getattr(value, "name", value)
)
def test_a_run_that_a_signal_ends_is_resumed_with_identical_values(
    number, repeat, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome(f"{number.name} at a random moment, then resume")
    home = reference.new_directory(tmp_path / "work")
    seconds = stream(number.name, repeat).uniform(0.2, 0.95) * reference.seconds
    case = f"{number.name} after {seconds:.3f} s"
    child = launcher.start(*reference.options(), cwd=home)
    child.leave_running(seconds)
    outcome.times += child.is_running()
    began = time.monotonic()
    child.signal(number)
    ended = child.wait()
    took = time.monotonic() - began

    if ended.status == 0:
        outcome.endings["had ended already"] += 1
    else:
        outcome.expect_status(ended, 128 + number, case=case)
        outcome.expect(ended.error_line() != "", f"{case}: {ended.err}")
        is_quick = took < reference.limit(LONGEST_END_SECONDS)
        outcome.expect(is_quick, f"{case}: ended after {took:.1f} s")
    for run in read_runs(home / "mlflow.db"):
        expected = ("FINISHED",) if ended.status == 0 else ("KILLED", "FINISHED")
        needs_sync = "sync --run_dir" in ended.err
        is_correct = run.status in expected or needs_sync
        outcome.expect(is_correct, f"{case}: the MLflow run is {run.status}")

    run_dir = home / "run"
    hint = re.search(r"`python -m pipeline (train --resume [^`]+)`", ended.err)
    if (run_dir / "config.yaml").exists():
        is_finished = read_last_status(RunDirectory(run_dir)) == "FINISHED"
        is_correct = is_finished == (hint is None)
        outcome.expect(is_correct, f"{case}: the hint to resume is wrong: {ended.err}")
        command = shlex.split(hint[1]) if hint else ("train", "--resume", "run")
    else:
        run_dir = home / "new"
        command = reference.options("new")
    again = launcher.delivered(launcher.run(*command, cwd=home), run_dir, cwd=home)
    outcome.expect(again.status == 0, f"{case}: resuming: {again.status}, {again.err}")
    compare_with_reference(home, reference, outcome, case, run_dir=run_dir)
    outcome.check()


@only_full
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_a_second_signal_at_the_end_of_a_run_loses_no_value(
    number, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome(f"{number.name} twice within 0.3 s, then resume")
    home = reference.new_directory(tmp_path / "work")
    child = launcher.start(*reference.options(), cwd=home)
    was_running = child.leave_running(0.6 * reference.seconds)
    outcome.times += was_running
    child.signal(number)
    child.leave_running(0.3)
    child.signal(number)
    ended = child.wait()
    case = f"{number.name} twice"
    # The second signal may arrive after the handlers were removed. The status is 0 if the run
    # ended before the first signal.
    expected = (128 + number, -number) if was_running else (0,)
    outcome.expect_status(ended, *expected, case=case)
    again = launcher.run("train", "--resume", "run", cwd=home)
    again = launcher.delivered(again, "run", cwd=home)
    outcome.expect(again.status == 0, f"{case}: {again.err}")
    compare_with_reference(home, reference, outcome, case)
    outcome.check()
