from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import EPOCH, FINISHED, RESUMED, RunLog
from pipeline.tracking.pending_events import read_news


def told(run, start=0):
    """What a delivery sends: kinds, and the numbers of epochs."""
    events = read_news(run, start=start).events
    return [event.content["epoch"] if event.kind == EPOCH else event.kind for event in events]


def open_run_log(tmp_path):
    run = RunDirectory(tmp_path)
    return run, RunLog(run.run_log_path)


def test_an_epoch_is_told_once_its_checkpoint_is_taken(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    assert told(run) == []
    run_log.log_checkpoint(1)
    assert told(run) == [1]


def test_what_is_told_behind_an_undecided_epoch_waits_with_it(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_params({})
    run_log.log_epoch({"epoch": 1})
    run_log.log_system_metrics({}, step=0)
    assert told(run) == ["params"]
    assert read_news(run, start=0).end == read_news(run, start=0).events[0].end


def test_the_end_of_a_run_is_told_although_its_last_epoch_is_undecided(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    run_log.log_system_metrics({}, step=0)
    run_log.log_status("KILLED")
    assert told(run) == ["system", FINISHED]
    assert read_news(run, start=0).end == 0


def test_an_epoch_that_a_resume_takes_back_is_never_told(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    run_log.log_status("KILLED")
    run_log.log_resumed(0, offset=0)
    run_log.log_epoch({"epoch": 1})
    run_log.log_checkpoint(1)
    assert told(run) == [RESUMED, 1]


def test_an_epoch_whose_checkpoint_the_end_came_before_the_word_of_is_told(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    offset = run_log.size
    run_log.log_status("KILLED")
    delivered = read_news(run, start=0).end
    run_log.log_checkpoint(1)
    run_log.log_resumed(1, offset=offset)
    assert told(run, start=delivered) == [1, RESUMED]


def test_what_was_delivered_is_not_told_again(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    run_log.log_checkpoint(1)
    delivered = read_news(run, start=0).end
    assert told(run, start=delivered) == []
    assert read_news(run, start=delivered).end == delivered
    run_log.log_status("FINISHED")
    assert told(run, start=delivered) == [FINISHED]


def test_what_follows_a_checkpoint_waits_for_the_end_of_the_run(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    run_log.log_checkpoint(1)
    delivered = read_news(run, start=0).end
    run_log.log_metrics({})
    assert told(run, start=delivered) == []
    run_log.log_status("FINISHED")
    assert told(run, start=delivered) == ["metrics", FINISHED]
    assert read_news(run, start=delivered).end == run_log.size


def test_what_follows_a_checkpoint_is_told_once_however_often_the_run_is_killed(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_epoch({"epoch": 1})
    offset = run_log.size
    run_log.log_checkpoint(1)
    arrived, delivered = [], 0

    def deliver():
        nonlocal delivered
        news = read_news(run, start=delivered)
        arrived.extend(event.kind for event in news.events)
        delivered = news.end

    for ending in ("KILLED", None, "FAILED", "FINISHED"):
        deliver()
        run_log.log_metrics({})
        deliver()
        if ending:
            run_log.log_status(ending)
            deliver()
        if ending != "FINISHED":
            run_log.log_resumed(1, offset=offset)
    assert arrived.count("metrics") == 1


def test_an_evaluation_of_a_finished_run_is_told_at_once(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_checkpoint(1)
    run_log.log_status("FINISHED")
    run_log.log_metrics({})
    assert told(run) == [FINISHED, "metrics"]


def test_a_search_that_goes_on_tells_its_trials_at_once(tmp_path):
    run, run_log = open_run_log(tmp_path)
    run_log.log_status("KILLED")
    run_log.log_resumed(0, offset=run_log.size)
    run_log.log_metrics({})
    assert told(run) == [FINISHED, RESUMED, "metrics"]


STORIES = st.lists(
    st.tuples(
        st.sampled_from(["committed", "lost", "untold"]),
        st.booleans(),  # whether the end of the process was told
        st.booleans(),  # whether a sample of the system came behind the epoch
        st.lists(st.booleans(), min_size=5, max_size=5),  # after which events MLflow was there
    ),
    min_size=1,
    max_size=6,
)


@given(STORIES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_however_a_run_dies_and_mlflow_comes_and_goes_each_epoch_that_counts_is_told(
    tmp_path_factory, stories
):
    run, run_log = open_run_log(tmp_path_factory.mktemp("run"))
    counting, delivered, end, checkpointed = [], {}, 0, 0

    def deliver(is_there):
        nonlocal end
        if is_there:
            news = read_news(run, start=end)
            delivered.update((e.start, e.content["epoch"]) for e in news.events if e.kind == EPOCH)
            end = news.end

    for fate, end_is_told, sampled, reachable in stories:
        epoch = len(counting) + 1
        start = run_log.size
        run_log.log_epoch({"epoch": epoch})
        deliver(reachable[0])
        behind = run_log.size
        if sampled:
            run_log.log_system_metrics({}, step=0)
        if fate != "lost":
            counting.append(start)
            checkpointed = behind
        if fate == "committed":
            run_log.log_checkpoint(epoch)
            deliver(reachable[1])
            continue
        if end_is_told:
            run_log.log_status("KILLED")
            deliver(reachable[2])
        if fate == "untold":
            run_log.log_checkpoint(epoch)
            deliver(reachable[3])
        run_log.log_resumed(len(counting), offset=checkpointed)
        deliver(reachable[4])
    deliver(True)

    assert delivered == {start: number for number, start in enumerate(counting, start=1)}
