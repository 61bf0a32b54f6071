import json
import os
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import (
    EPOCH,
    RESUMED,
    RunLog,
    check_run_log,
    effective_events,
    log_killed_unless_running,
    read_events,
    read_last_status,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "events.jsonl"


def contents(path: Path) -> list[tuple[str, dict]]:
    return [(event.kind, event.content) for event in read_events(path)]


def kinds(path: Path) -> list[str]:
    return [event.kind for event in read_events(path)]


class TestAppend:
    def test_events_are_read_in_order_with_their_content(self, path):
        run_log = RunLog(path)
        run_log.log_params({"seed": 0, "name": "Zoë"})
        run_log.log_epoch({"epoch": 1, "loss": 0.1 + 0.2})
        run_log.log_tags({"text": "two\nlines\u2028and\r\nmore"})
        assert contents(path) == [
            ("params", {"params": {"seed": 0, "name": "Zoë"}}),
            (EPOCH, {"epoch": 1, "loss": 0.1 + 0.2}),
            ("tags", {"tags": {"text": "two\nlines\u2028and\r\nmore"}}),
        ]
        times = [event.time_ms for event in read_events(path)]
        assert times == sorted(times)
        assert path.read_bytes().count(b"\n") == 3

    def test_offsets_are_the_limits_of_the_lines(self, path):
        run_log = RunLog(path)
        assert run_log.size == 0
        assert kinds(path) == []
        for number in range(3):
            run_log.log_epoch({"epoch": number})
        content = path.read_bytes()
        events = list(read_events(path))
        for event in events:
            assert json.loads(content[event.start : event.end])["epoch"] == event.content["epoch"]
        assert event.end == run_log.size == len(content)
        assert list(read_events(path, start=events[1].start)) == events[1:]

    def test_each_event_is_synced(self, path, monkeypatch):
        sizes = []
        monkeypatch.setattr(os, "fsync", lambda handle: sizes.append(os.fstat(handle).st_size))
        run_log = RunLog(path)
        run_log.log_params({})
        run_log.log_tags({})
        assert sizes == [next(read_events(path)).end, run_log.size]

    def test_threads_do_not_mix_their_lines(self, path):
        run_log = RunLog(path)

        def log(thread: int) -> None:
            for number in range(25):
                metrics = {"thread": thread, "number": number, "filler": "x" * 5000}
                run_log.log_system_metrics(metrics, step=0)

        threads = [threading.Thread(target=log, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        metrics = [event.content["metrics"] for event in read_events(path)]
        for thread in range(4):
            numbers = [each["number"] for each in metrics if each["thread"] == thread]
            assert numbers == list(range(25))

    def test_a_value_outside_json_writes_nothing(self, path):
        run_log = RunLog(path)
        run_log.log_params({})
        with pytest.raises(TypeError, match="not JSON serializable"):
            run_log.log_params({"value": object()})
        assert kinds(path) == ["params"]

    def test_half_a_line_on_a_full_disk_does_not_damage_the_next_event(self, path):
        run_log = RunLog(path)
        run_log.log_params({})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (run_log.size + 20, limits[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                run_log.log_epoch({"values": [0.5] * 100})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        run_log.log_status("FINISHED")
        assert kinds(path) == ["params", "finished"]

    def test_logged_epochs_are_not_written_again(self, path):
        run_log = RunLog(path)
        run_log.num_logged_epochs = 2
        for epoch in (1, 2, 3):
            run_log.log_epoch({"epoch": epoch})
        run_log.log_metrics({})
        assert contents(path) == [(EPOCH, {"epoch": 3}), ("metrics", {"step": 0, "metrics": {}})]

    def test_bytes_that_are_not_utf_8_are_escaped_for_mlflow(self, path):
        RunLog(path).log_tags({"run_dir": os.fsdecode(b"caf\xe9"), "name": "Zoë \U0001f600"})
        ((_, content),) = contents(path)
        assert content["tags"] == {"run_dir": r"caf\udce9", "name": "Zoë \U0001f600"}


class TestRead:
    @pytest.mark.parametrize(
        "line",
        [b"{", b"\xff", b"5", b"null", b"[1]", b'"text"', b'{"kind":"a"}', b'{"time_ms":1}', b""],
    )
    def test_a_damaged_line_is_an_error_with_its_offset(self, path, line):
        run_log = RunLog(path)
        run_log.log_params({})
        start = run_log.size
        with path.open("ab") as stream:
            stream.write(line + b"\n")
        run_log.log_tags({})
        with pytest.raises(RunError, match=rf"events\.jsonl: the line at byte {start} is damaged"):
            list(read_events(path))

    def test_each_flipped_bit_is_an_error_or_leaves_the_content(self, path):
        RunLog(path).log_epoch({"epoch": 7, "loss": 0.25})
        content = path.read_bytes()
        (event,) = read_events(path)
        for bit in range(8 * (len(content) - 1)):  # a line without its newline is ignored
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            try:
                events = list(read_events(path))
            except RunError:
                continue
            assert all(found.content | event.content == found.content for found in events)

    def test_lines_without_a_checksum_are_read(self, path):
        path.parent.mkdir()
        path.write_bytes(b'{"kind":"epoch","time_ms":1,"epoch":1}\n')
        assert contents(path) == [(EPOCH, {"epoch": 1})]

    def test_a_line_without_a_checksum_after_one_with_a_checksum_is_an_error(self, path):
        run_log = RunLog(path)
        run_log.log_epoch({"epoch": 1})
        run_log.log_epoch({"epoch": 2})
        first, second = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first + second.replace(b'"crc"', b'"cvc"'))
        with pytest.raises(RunError, match=f"line at byte {len(first)} is damaged"):
            list(read_events(path))

    @given(st.data())
    def test_a_torn_line_is_ignored_and_cut_by_the_next_writer(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("torn") / "events.jsonl"
        run_log = RunLog(path)
        for number in range(3):
            run_log.log_epoch({"epoch": number})
        events = list(read_events(path))
        size = data.draw(st.integers(0, run_log.size))
        os.truncate(path, size)
        complete = [event for event in events if event.end <= size]
        assert list(read_events(path)) == complete

        RunLog(path).log_resumed(0, offset=0)
        *earlier, last = read_events(path)
        assert earlier == complete
        assert last.kind == RESUMED


@given(st.lists(st.sampled_from(["epoch", "checkpoint"]) | st.integers(0, 300)))
def test_each_epoch_is_effective_once_for_all_kills(tmp_path_factory, story):
    run = SimulatedRun(tmp_path_factory.mktemp("story") / "events.jsonl")
    for step in story:
        if step == "epoch":
            run.train_epoch()
        elif step == "checkpoint":
            run.save_checkpoint()
        else:
            run.kill(num_torn_bytes=step)
    found = [
        (event.content["epoch"], event.content["attempt"])
        for event in effective_events(read_events(run.path))
        if event.kind == EPOCH
    ]
    assert found == run.expected


class SimulatedRun:
    """A run that logs epochs and checkpoints, is killed during an append, and resumes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.expected: list[tuple[int, int]] = []
        self._run_log = RunLog(path)
        self._saved: list[tuple[int, int]] = []
        self._offset = 0
        self._attempt = 0

    def train_epoch(self) -> None:
        epoch = len(self.expected) + 1
        self._run_log.log_epoch({"epoch": epoch, "attempt": self._attempt})
        self.expected.append((epoch, self._attempt))

    def save_checkpoint(self) -> None:
        self._offset = self._run_log.size
        self._saved = list(self.expected)
        self._run_log.log_checkpoint(len(self.expected))

    def kill(self, *, num_torn_bytes: int) -> None:
        # At least the newline of the last line is missing.
        with self.path.open("ab") as stream:
            stream.write(b'{"kind":"epoch","time_ms":1,"epoch":99,"attempt":99}'[:num_torn_bytes])
        self._attempt += 1
        self._run_log = RunLog(self.path)
        self._run_log.log_resumed(len(self._saved), offset=self._offset)
        self.expected = list(self._saved)


class TestStatus:
    @pytest.fixture
    def run(self, tmp_path: Path) -> RunDirectory:
        return RunDirectory(tmp_path)

    def test_the_last_end_of_a_run_is_its_status(self, run):
        assert read_last_status(run) is None
        run_log = RunLog(run.run_log_path)
        run_log.log_status("KILLED", reason="interrupted")
        assert read_last_status(run) == "KILLED"
        run_log.log_resumed(1, offset=0)
        assert read_last_status(run) is None
        run_log.log_status("FINISHED")
        assert read_last_status(run) == "FINISHED"

    def test_a_log_without_the_end_of_the_run_is_an_error(self, run):
        check_run_log(run)
        run.checkpoints_dir.mkdir()
        with pytest.raises(RunError, match=r"events\.jsonl: is missing"):
            check_run_log(run)
        run_log = RunLog(run.run_log_path)
        run_log.log_params({})
        with pytest.raises(RunError, match=r"events\.jsonl: the end of the run is missing"):
            check_run_log(run)
        run.initial_path.touch()
        check_run_log(run)
        run.initial_path.unlink()
        run_log.log_status("FINISHED")
        check_run_log(run)

    def test_a_run_is_logged_as_killed_unless_it_has_ended_or_is_locked(self, run):
        log_killed_unless_running(run, reason="gone")
        assert not run.run_log_path.exists()
        run_log = RunLog(run.run_log_path)
        run_log.log_params({})
        with run.locked():
            log_killed_unless_running(run, reason="gone")
            assert read_last_status(run) is None
        for _ in range(2):
            log_killed_unless_running(run, reason="gone")
        assert contents(run.run_log_path)[1:] == [
            ("finished", {"status": "KILLED", "reason": "gone"})
        ]
