"""If two processes write to one run, one succeeds and the other ends with one error line."""

import pytest

from tests.end_to_end.faults.campaign import only_full, size
from tests.end_to_end.faults.comparing import compare_with_reference
from tests.end_to_end.faults.injection import Boundary

pytestmark = pytest.mark.slow


def check(outcome, home, reference, ends, case):
    """Check that one process completed the run, and the other ended with status 2 or 0."""
    statuses = sorted(ended.status for ended in ends)
    outcome.endings[f"statuses {statuses[0]} and {statuses[1]}"] += 1
    outcome.expect(statuses in ([0, 2], [0, 0]), f"{case}: {[ended.err for ended in ends]}")
    for ended in ends:
        outcome.expect(not ended.has_traceback, f"{case}: {ended.err[-600:]}")
        if ended.status == 2:
            outcome.expect("run" in ended.error_line(), f"{case}: {ended.err}")
    compare_with_reference(home, reference, outcome, case)
    outcome.check()


@pytest.mark.parametrize("repeat", range(size(3, 1)))
def test_one_of_two_processes_that_resume_a_run_succeeds(
    repeat, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome("two resumes of one run at the same time")
    home = reference.new_directory(tmp_path / "work")
    kill_at = Boundary("epoch-00001", "mkdir batch_metrics", 1)
    plan = {"run_dir": str(home / "run"), "kill_at": kill_at}
    launcher.run(*reference.options(), cwd=home, plan=plan)
    outcome.times += 1
    both = [launcher.start("train", "--resume", "run", cwd=home) for _ in range(2)]
    check(outcome, home, reference, [child.wait() for child in both], "two resumes")


@only_full
@pytest.mark.parametrize("repeat", range(3))
def test_one_of_two_new_runs_in_a_directory_succeeds(
    repeat, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome("two new runs in one directory at the same time")
    home = reference.new_directory(tmp_path / "work")
    outcome.times += 1
    both = [launcher.start(*reference.options(), cwd=home) for _ in range(2)]
    check(outcome, home, reference, [child.wait() for child in both], "two new runs")


@only_full
@pytest.mark.parametrize("command", ["sync", "evaluate"])
def test_a_command_does_not_disturb_a_running_training(
    command, launcher, reference, new_outcome, tmp_path
):
    outcome = new_outcome(f"{command} of a run that trains")
    home = reference.new_directory(tmp_path / "work")
    child = launcher.start(*reference.options(), cwd=home)
    child.leave_running(0.5 * reference.seconds)
    outcome.times += 1
    other = launcher.run(command, "--run_dir", "run", cwd=home)
    ended = child.wait()
    outcome.expect(ended.status == 0, f"the run: {ended.err}")
    is_clear = other.status == 0 or (other.status == 2 and "run" in other.error_line())
    outcome.expect(is_clear, f"{command}: status {other.status}, {other.err[-600:]}")
    if command == "evaluate" and other.status == 0:  # the run had ended before the command
        outcome.endings["the run had ended already"] += 1
        outcome.check()
        return
    outcome.endings[f"status {other.status}, the run goes on"] += 1
    compare_with_reference(home, reference, outcome, command)
    outcome.check()
