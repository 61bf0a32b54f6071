import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import EPOCH, RunLog
from pipeline.tracking.mirror import read_pending_events


def make_run_log(path):
    run = RunDirectory(path)
    return run, RunLog(run.run_log_path)


LOG = {
    "epoch": lambda run_log: run_log.log_epoch({"epoch": 1}),
    "checkpoint": lambda run_log: run_log.log_checkpoint(1),
    "system": lambda run_log: run_log.log_system_metrics({}, step=0),
    "metrics": lambda run_log: run_log.log_metrics({}),
    "finished": lambda run_log: run_log.log_status("FINISHED"),
    "killed": lambda run_log: run_log.log_status("KILLED"),
    "resumed_from_start": lambda run_log: run_log.log_resumed(0, offset=0),
    "resumed_here": lambda run_log: run_log.log_resumed(0, offset=run_log.size),
}


@pytest.mark.parametrize(
    ("logged", "pending"),
    [
        ("epoch", ""),
        ("epoch checkpoint", "epoch"),
        ("metrics epoch system", "metrics"),
        ("epoch system killed", "system finished"),
        ("epoch killed resumed_from_start epoch checkpoint", "resumed epoch"),
        ("epoch checkpoint metrics", "epoch"),
        ("epoch checkpoint metrics finished", "epoch metrics finished"),
        ("checkpoint finished metrics", "finished metrics"),
        ("killed resumed_here metrics", "finished resumed metrics"),
    ],
)
def test_only_events_that_a_resumed_run_cannot_supersede_are_pending(logged, pending, tmp_path):
    run, run_log = make_run_log(tmp_path)
    for name in logged.split():
        LOG[name](run_log)
    events, _ = read_pending_events(run, start=0)
    assert [event.kind for event in events] == pending.split()


def test_delivered_epochs_are_not_pending_again(tmp_path):
    run, run_log = make_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    run_log.log_checkpoint(1)
    _, delivered = read_pending_events(run, start=0)
    assert read_pending_events(run, start=delivered) == ([], delivered)
    run_log.log_status("FINISHED")
    events, end = read_pending_events(run, start=delivered)
    assert [event.kind for event in events] == ["finished"]
    assert end == run_log.size


def test_an_epoch_is_pending_if_its_checkpoint_is_logged_after_the_end(tmp_path):
    run, run_log = make_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    offset = run_log.size
    run_log.log_status("KILLED")
    _, delivered = read_pending_events(run, start=0)
    assert delivered == 0
    run_log.log_checkpoint(1)
    run_log.log_resumed(1, offset=offset)
    events, _ = read_pending_events(run, start=delivered)
    assert [event.kind for event in events] == ["epoch", "resumed"]


def test_events_after_a_checkpoint_are_pending_once_although_the_run_is_killed_twice(tmp_path):
    run, run_log = make_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    offset = run_log.size
    run_log.log_checkpoint(1)
    kinds, end = [], 0

    def deliver():
        nonlocal end
        events, end = read_pending_events(run, start=end)
        kinds.extend(event.kind for event in events)

    for status in ("KILLED", None, "FAILED", "FINISHED"):
        deliver()
        run_log.log_metrics({})
        deliver()
        if status:
            run_log.log_status(status)
            deliver()
        if status != "FINISHED":
            run_log.log_resumed(1, offset=offset)
    assert kinds.count("metrics") == 1


STORIES = st.lists(
    st.tuples(
        st.sampled_from(["checkpoint logged", "no checkpoint", "checkpoint not logged"]),
        st.booleans(),  # True if the end of the process is logged
        st.booleans(),  # True if system metrics follow the epoch
        st.lists(st.booleans(), min_size=5, max_size=5),  # True if MLflow is reachable
    ),
    min_size=1,
    max_size=6,
)


@given(STORIES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_each_effective_epoch_is_delivered_for_all_kills_and_outages(tmp_path_factory, stories):
    run, run_log = make_run_log(tmp_path_factory.mktemp("run"))
    effective, delivered, end, offset = [], {}, 0, 0

    def deliver(is_reachable):
        nonlocal end
        if is_reachable:
            events, end = read_pending_events(run, start=end)
            delivered.update((e.start, e.content["epoch"]) for e in events if e.kind == EPOCH)

    for fate, end_is_logged, is_sampled, reachable in stories:
        number = len(effective) + 1
        start = run_log.size
        run_log.log_epoch({"epoch": number})
        deliver(reachable[0])
        after = run_log.size
        if is_sampled:
            run_log.log_system_metrics({}, step=0)
        if fate != "no checkpoint":
            effective.append(start)
            offset = after
        if fate == "checkpoint logged":
            run_log.log_checkpoint(number)
            deliver(reachable[1])
            continue
        if end_is_logged:
            run_log.log_status("KILLED")
            deliver(reachable[2])
        if fate == "checkpoint not logged":
            run_log.log_checkpoint(number)
            deliver(reachable[3])
        run_log.log_resumed(len(effective), offset=offset)
        deliver(reachable[4])
    deliver(True)

    assert delivered == {start: number for number, start in enumerate(effective, start=1)}
