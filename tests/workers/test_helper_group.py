"""A group of helper processes shares tasks with this process. No failure of a helper is visible."""

import psutil
import pytest

from pipeline.core.errors import WorkerError
from pipeline.workers.helper_group import HelperGroup
from tests.waiting import wait_until

SETUP = "tests.workers.odd_work:set_up"


@pytest.fixture
def group():
    with HelperGroup() as group:
        group.add_processes(1, SETUP)
        yield group


class Requests:
    """Tasks that were given to a helper."""

    def __init__(self):
        self.tasks = []

    def add(self, task):
        self.tasks.append(task)
        return task

    def work_here_after(self, number):
        """Return a function that does a task here, after a helper got `number` tasks."""

        def work(task):
            wait_until(lambda: len(self.tasks) >= number)
            if task == "full":
                raise WorkerError("no space left here")
            return f"{task} here"

        return work


def test_a_helper_does_some_of_the_tasks_and_the_results_are_in_order(group):
    given, received = Requests(), []
    results = group.map(
        given.work_here_after(2),
        ["a", "b", "c"],
        request=given.add,
        on_result=lambda task, result: received.append((task, result)),
    )
    assert list(results.items()) == [("a", "a here"), ("b", "b done"), ("c", "c done")]
    assert received == [("b", "b done"), ("c", "c done")]


@pytest.mark.parametrize("task", ["bug", "dies"])
def test_this_process_repeats_a_task_that_fails_in_a_helper(group, task):
    given = Requests()
    results = group.map(given.work_here_after(1), ["a", task, "c"], request=given.add)
    assert results == {name: f"{name} here" for name in ("a", task, "c")}
    assert given.tasks == [task]


def test_the_error_of_a_repeated_task_is_raised(group):
    given = Requests()
    with pytest.raises(WorkerError, match="no space left here"):
        group.map(given.work_here_after(1), ["a", "full", "c"], request=given.add)


@pytest.mark.parametrize("setup", ["tests.workers.odd_work:set_up_with_bug", "no_module:f"])
def test_a_helper_whose_setup_fails_gets_no_task(setup, capfd):
    given = Requests()
    with HelperGroup() as group:
        group.add_processes(2, setup)
        results = group.map(given.work_here_after(0), ["a", "b"], request=given.add)
    assert results == {"a": "a here", "b": "b here"}
    assert (given.tasks, capfd.readouterr().err) == ([], "")


def test_this_process_does_not_wait_for_a_helper_without_a_task():
    with HelperGroup() as group:
        group.add_processes(1, "tests.workers.odd_work:set_up_forever")
        assert group.map(str, [1, 2]) == {1: "1", 2: "2"}
        assert group.map(str, [3]) == {3: "3"}


def test_a_task_that_takes_too_long_in_a_helper_is_repeated(group):
    given = Requests()
    results = group.map(
        given.work_here_after(1), ["a", "hangs"], request=given.add, patience_seconds=0.1
    )
    assert results == {"a": "a here", "hangs": "hangs here"}


def test_an_error_interrupts_the_tasks_of_all_helpers_and_ends_the_processes(tmp_path):
    before = psutil.Process().children()

    def work(task):
        wait_until(lambda: len([*tmp_path.glob("* begins")]) == 2)
        raise WorkerError(task)

    with HelperGroup() as group:
        group.add_processes(2, SETUP, tmp_path)
        with pytest.raises(WorkerError, match="a"):
            group.map(work, ["a", "b", "c", "d"])
    assert {path.name for path in tmp_path.glob("* ends")} == {"b ends", "c ends"}
    assert psutil.Process().children() == before
    assert not (tmp_path / "d begins").exists()
