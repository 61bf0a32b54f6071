"""The run log holds what was told, whatever kills the teller."""

import json
import os
import resource
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import RunError
from pipeline.core.run_log import (
    EPOCH,
    RESUMED,
    RunLog,
    effective_events,
    read_events,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "events.jsonl"


def kinds(path: Path) -> list[str]:
    return [event.kind for event in read_events(path)]


class TestAppend:
    def test_events_come_back_in_order_with_their_content(self, path):
        run_log = RunLog(path)
        run_log.log_params({"seed": 0, "name": "Zoë"})
        run_log.log_epoch({"epoch": 1, "loss": 0.5})
        first, second = read_events(path)
        assert (first.kind, first.content) == ("params", {"params": {"seed": 0, "name": "Zoë"}})
        assert (second.kind, second.content) == (EPOCH, {"epoch": 1, "loss": 0.5})
        assert first.time_ms <= second.time_ms

    def test_offsets_are_those_of_the_lines(self, path):
        run_log = RunLog(path)
        for number in range(3):
            run_log.log_epoch({"epoch": number})
        content = path.read_bytes()
        for event in read_events(path):
            assert json.loads(content[event.start : event.end])["epoch"] == event.content["epoch"]
        assert event.end == run_log.size == len(content)

    def test_one_event_is_one_line(self, path):
        RunLog(path).log_tags({"text": "two\nlines\u2028and\r\nmore"})
        assert path.read_bytes().count(b"\n") == 1
        assert kinds(path) == ["tags"]

    def test_a_float_comes_back_to_the_bit(self, path):
        RunLog(path).log_epoch({"loss": 0.1 + 0.2})
        assert next(read_events(path)).content["loss"] == 0.1 + 0.2

    def test_each_event_is_synced(self, path, monkeypatch):
        sizes = []
        monkeypatch.setattr(os, "fsync", lambda handle: sizes.append(os.fstat(handle).st_size))
        run_log = RunLog(path)
        run_log.log_params({})
        run_log.log_tags({})
        assert sizes == [next(read_events(path)).end, run_log.size]

    def test_threads_do_not_mix_their_lines(self, path):
        run_log = RunLog(path)

        def tell(name: int) -> None:
            for number in range(25):
                run_log.log_system_metrics(
                    {"thread": name, "number": number, "filler": "x" * 5000}, step=0
                )

        threads = [threading.Thread(target=tell, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        metrics = [event.content["metrics"] for event in read_events(path)]
        told = [(each["thread"], each["number"]) for each in metrics]
        for name in range(4):
            assert [number for thread, number in told if thread == name] == list(range(25))

    def test_a_value_that_json_cannot_hold_writes_nothing(self, path):
        run_log = RunLog(path)
        run_log.log_params({})
        with pytest.raises(TypeError, match="not JSON serializable"):
            run_log.log_params({"value": object()})
        assert kinds(path) == ["params"]

    def test_half_a_line_on_a_full_disk_does_not_swallow_the_next_event(self, path):
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

    def test_epochs_that_are_told_already_are_not_written_again(self, path):
        run_log = RunLog(path)
        run_log.num_logged_epochs = 2
        for epoch in (1, 2, 3):
            run_log.log_epoch({"epoch": epoch})
        run_log.log_metrics({})
        told = [(event.kind, event.content) for event in read_events(path)]
        assert told == [(EPOCH, {"epoch": 3}), ("metrics", {"step": 0, "metrics": {}})]


def test_bytes_of_a_file_name_that_is_not_utf_8_come_back_as_text_that_mlflow_takes(path):
    RunLog(path).log_tags({"run_dir": os.fsdecode(b"caf\xe9"), "name": "Zo\u00eb \U0001f600"})
    (event,) = read_events(path)
    assert event.content["tags"] == {"run_dir": r"caf\udce9", "name": "Zo\u00eb \U0001f600"}


class TestRead:
    def test_a_missing_run_log_has_no_events(self, path):
        assert kinds(path) == []

    def test_a_new_run_log_is_empty(self, path):
        assert RunLog(path).size == 0

    def test_reading_goes_on_from_an_offset(self, path):
        run_log = RunLog(path)
        run_log.log_params({})
        start = run_log.size
        run_log.log_tags({})
        (event,) = read_events(path, start=start)
        assert (event.kind, event.start, event.end) == ("tags", start, run_log.size)

    @pytest.mark.parametrize(
        "line",
        [b"{", b"\xff", b"5", b"null", b"[1]", b'"text"', b'{"kind":"a"}', b'{"time_ms":1}', b""],
    )
    def test_a_damaged_line_in_the_middle_is_refused_with_its_place(self, path, line):
        run_log = RunLog(path)
        run_log.log_params({})
        start = run_log.size
        with path.open("ab") as stream:
            stream.write(line + b"\n")
        run_log.log_tags({})
        with pytest.raises(RunError, match=rf"events\.jsonl: the line at byte {start} is damaged"):
            list(read_events(path))

    def test_no_bit_of_an_event_can_be_flipped_unnoticed(self, path):
        RunLog(path).log_epoch({"epoch": 7, "loss": 0.25})
        content = path.read_bytes()
        (event,) = read_events(path)
        for bit in range(8 * (len(content) - 1)):  # without its newline, a line does not count
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            try:
                events = list(read_events(path))
            except RunError:
                continue
            assert all(found.content | event.content == found.content for found in events)

    def test_lines_of_an_older_version_have_no_checksum(self, path):
        path.parent.mkdir()
        path.write_bytes(b'{"kind":"epoch","time_ms":1,"epoch":1}\n')
        assert next(read_events(path)).content == {"epoch": 1}

    @given(st.data())
    def test_whatever_a_kill_tears_off_the_lines_before_it_stand(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("torn") / "events.jsonl"
        run_log = RunLog(path)
        for number in range(3):
            run_log.log_epoch({"epoch": number})
        lines = list(read_events(path))
        size = data.draw(st.integers(0, run_log.size))
        os.truncate(path, size)
        whole = [line for line in lines if line.end <= size]
        assert list(read_events(path)) == whole

        RunLog(path).log_resumed(0, offset=0)
        *earlier, last = read_events(path)
        assert earlier == whole
        assert last.kind == RESUMED


class TestResume:
    def test_events_after_the_checkpoint_are_superseded(self, path):
        run_log = RunLog(path)
        run_log.log_epoch({"epoch": 1})
        offset = run_log.size
        run_log.log_checkpoint(1)
        run_log.log_epoch({"epoch": 2, "loss": "killed"})
        run_log.log_resumed(1, offset=offset)
        run_log.log_epoch({"epoch": 2, "loss": "told again"})
        told = [(event.kind, event.content) for event in effective_events(read_events(path))]
        assert told == [
            (EPOCH, {"epoch": 1}),
            (RESUMED, {"epoch": 1, "offset": offset}),
            (EPOCH, {"epoch": 2, "loss": "told again"}),
        ]

    def test_a_run_log_without_a_resume_is_whole(self, path):
        run_log = RunLog(path)
        for number in range(3):
            run_log.log_epoch({"epoch": number})
        assert effective_events(read_events(path)) == list(read_events(path))

    @given(
        st.lists(
            st.sampled_from(["epoch", "commit"]) | st.integers(0, 300).map(lambda n: ("kill", n))
        )
    )
    def test_every_story_of_kills_and_resumes_tells_each_epoch_once(self, tmp_path_factory, story):
        run = SimulatedRun(tmp_path_factory.mktemp("story") / "events.jsonl")
        for step in story:
            if step == "epoch":
                run.train_epoch()
            elif step == "commit":
                run.commit()
            else:
                run.kill(torn_bytes=step[1])
        told = [
            (event.content["epoch"], event.content["life"])
            for event in effective_events(read_events(run.path))
            if event.kind == EPOCH
        ]
        assert told == run.expected


class SimulatedRun:
    """A run that run logs epochs, commits, is killed in an append, and resumes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.expected: list[tuple[int, int]] = []
        self._run_log = RunLog(path)
        self._committed: list[tuple[int, int]] = []
        self._offset = 0
        self._life = 0

    def train_epoch(self) -> None:
        epoch = len(self.expected) + 1
        self._run_log.log_epoch({"epoch": epoch, "life": self._life})
        self.expected.append((epoch, self._life))

    def commit(self) -> None:
        self._offset = self._run_log.size
        self._committed = list(self.expected)
        self._run_log.log_checkpoint(len(self.expected))

    def kill(self, *, torn_bytes: int) -> None:
        # At least the newline of the line in flight is missing.
        with self.path.open("ab") as stream:
            stream.write(b'{"kind":"epoch","time_ms":1,"epoch":99,"life":99}'[:torn_bytes])
        self._life += 1
        self._run_log = RunLog(self.path)
        self._run_log.log_resumed(len(self._committed), offset=self._offset)
        self.expected = list(self._committed)
