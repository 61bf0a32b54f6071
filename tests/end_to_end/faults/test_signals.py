"""A run that is asked to stop ends within seconds, says how to go on, and goes on."""

import re
import shlex
import signal
import time

import pytest

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import read_last_status
from tests.end_to_end.faults.campaign import IS_FULL, sampled, stream
from tests.end_to_end.faults.comparing import differences
from tests.end_to_end.faults.mlflow_database import count_differences, read_runs

pytestmark = pytest.mark.slow

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_END_SECONDS = 8
"""On an idle machine."""

CASES = sampled([(name, number) for number in range(7) for name in SIGNALS], 1, "signals")


@pytest.mark.parametrize(
    ("number", "repeat"), CASES, ids=lambda value: getattr(value, "name", value)
)
def test_a_signal_ends_a_run_that_its_hint_resumes_to_the_same_values(
    number, repeat, launcher, reference, toll_of, tmp_path
):
    toll = toll_of(f"{number.name} at a random moment, then resume")
    home = reference.workplace(tmp_path / "work")
    seconds = stream(number.name, repeat).uniform(0.2, 0.95) * reference.seconds
    case = f"{number.name} after {seconds:.3f} s"
    child = launcher.start(*reference.options(), cwd=home)
    child.leave_running(seconds)
    toll.times += child.is_running()
    began = time.monotonic()
    child.signal(number)
    ended = child.wait()
    took = time.monotonic() - began

    if ended.status == 0:
        toll.endings["had ended already"] += 1
    else:
        status = 128 + number
        toll.endings[f"status {ended.status}"] += 1
        toll.expect(ended.status == status, f"{case}: status {ended.status}, not {status}")
        toll.expect(ended.error_line() != "", f"{case}: says {ended.err}")
        toll.expect(
            took < reference.limit(LONGEST_END_SECONDS), f"{case}: took {took:.1f} s to end"
        )
    toll.expect(not ended.has_traceback, f"{case}: {ended.err[-600:]}")
    for run in read_runs(home / "mlflow.db"):
        expected = ("FINISHED",) if ended.status == 0 else ("KILLED", "FINISHED")
        is_left_for_later = "sync --run_dir" in ended.err
        is_ended = run.status in expected or is_left_for_later
        toll.expect(is_ended, f"{case}: the MLflow run is {run.status}")

    run_dir = home / "run"
    hint = re.search(r"`python -m pipeline (train --resume [^`]+)`", ended.err)
    if (run_dir / "config.yaml").exists():
        is_over = read_last_status(RunDirectory(run_dir)) == "FINISHED"
        is_right = is_over == (hint is None)
        toll.expect(is_right, f"{case}: the hint does not fit: {ended.err}")
        command = shlex.split(hint[1]) if hint else ("train", "--resume", "run")
    else:
        run_dir = home / "anew"
        command = reference.options("anew")
    again = launcher.delivered(launcher.run(*command, cwd=home), run_dir, cwd=home)
    toll.expect(again.status == 0, f"{case}: the resume ends with {again.status}, {again.err}")
    for difference in differences(run_dir, reference.run_dir):
        toll.lose(f"{case}: {difference}")
    count_differences(home / "mlflow.db", reference.database, toll, case)
    toll.check()


@pytest.mark.skipif(not IS_FULL, reason="only in the full campaign")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_a_second_signal_while_the_run_ends_does_no_harm(
    number, launcher, reference, toll_of, resume, tmp_path
):
    toll = toll_of(f"{number.name} twice within 0.3 s, then resume")
    home = reference.workplace(tmp_path / "work")
    child = launcher.start(*reference.options(), cwd=home)
    was_running = child.leave_running(0.6 * reference.seconds)
    toll.times += was_running
    child.signal(number)
    child.leave_running(0.3)
    child.signal(number)
    ended = child.wait()
    case = f"{number.name} twice"
    toll.endings[f"status {ended.status}"] += 1
    # A process that has noted its end may die of the second signal by itself. A run that ended
    # before the signal, on a machine that became faster, has status 0.
    expected = (128 + number, -number) if was_running else (0,)
    toll.expect(ended.status in expected, f"{case}: status {ended.status}")
    toll.expect(not ended.has_traceback, f"{case}: {ended.err[-600:]}")
    again = launcher.delivered(resume(home), "run", cwd=home)
    toll.expect(again.status == 0, f"{case}: {again.err}")
    for difference in differences(home / "run", reference.run_dir):
        toll.lose(f"{case}: {difference}")
    count_differences(home / "mlflow.db", reference.database, toll, case)
    toll.check()
