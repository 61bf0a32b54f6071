"""Of two processes that write to one run, one works and the other ends in one line."""

import pytest

from tests.end_to_end.faults.campaign import IS_FULL, size
from tests.end_to_end.faults.comparing import differences
from tests.end_to_end.faults.injection import Boundary
from tests.end_to_end.faults.mlflow_database import count_differences

pytestmark = pytest.mark.slow


def check(toll, home, reference, ends, case):
    """Check that one process did the work, and that the other gave way or found it done."""
    statuses = sorted(ended.status for ended in ends)
    toll.endings[f"statuses {statuses[0]} and {statuses[1]}"] += 1
    toll.expect(statuses in ([0, 2], [0, 0]), f"{case}: {[ended.err for ended in ends]}")
    for ended in ends:
        toll.expect(not ended.has_traceback, f"{case}: {ended.err[-600:]}")
        if ended.status == 2:
            toll.expect("run" in ended.error_line(), f"{case}: says {ended.err}")
    for difference in differences(home / "run", reference.run_dir):
        toll.lose(f"{case}: {difference}")
    count_differences(home / "mlflow.db", reference.database, toll, case)


@pytest.mark.parametrize("repeat", range(size(3, 1)))
def test_two_resumes_of_one_run(repeat, launcher, reference, toll_of, tmp_path):
    toll = toll_of("two resumes of one run at the same time")
    home = reference.workplace(tmp_path / "work")
    kill_at = Boundary("epoch-00001", "mkdir batch_metrics", 1)
    plan = {"run_dir": str(home / "run"), "kill_at": kill_at}
    launcher.run(*reference.options(), cwd=home, plan=plan)
    toll.times += 1
    both = [launcher.start("train", "--resume", "run", cwd=home) for _ in range(2)]
    check(toll, home, reference, [child.wait() for child in both], "two resumes")
    toll.check()


@pytest.mark.skipif(not IS_FULL, reason="only in the full campaign")
@pytest.mark.parametrize("repeat", range(3))
def test_two_new_runs_in_one_directory(repeat, launcher, reference, toll_of, tmp_path):
    toll = toll_of("two new runs in one directory at the same time")
    home = reference.workplace(tmp_path / "work")
    toll.times += 1
    both = [launcher.start(*reference.options(), cwd=home) for _ in range(2)]
    check(toll, home, reference, [child.wait() for child in both], "two new runs")
    toll.check()


@pytest.mark.skipif(not IS_FULL, reason="only in the full campaign")
@pytest.mark.parametrize("command", ["sync", "evaluate"])
def test_a_command_on_a_run_that_trains(command, launcher, reference, toll_of, tmp_path):
    toll = toll_of(f"{command} of a run that trains")
    home = reference.workplace(tmp_path / "work")
    child = launcher.start(*reference.options(), cwd=home)
    child.leave_running(0.5 * reference.seconds)
    toll.times += 1
    other = launcher.run(command, "--run_dir", "run", cwd=home)
    ended = child.wait()
    toll.expect(ended.status == 0, f"the run: {ended.err}")
    is_clear = other.status == 0 or (other.status == 2 and "run" in other.error_line())
    toll.expect(is_clear, f"{command}: status {other.status}, {other.err[-600:]}")
    if command == "evaluate" and other.status == 0:  # on a slow machine the run had ended
        toll.endings["the run had ended already"] += 1
        toll.check()
        return
    toll.endings[f"status {other.status}, the run goes on"] += 1
    for difference in differences(home / "run", reference.run_dir):
        toll.lose(f"{command}: {difference}")
    count_differences(home / "mlflow.db", reference.database, toll, command)
    toll.check()
