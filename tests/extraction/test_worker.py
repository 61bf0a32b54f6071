"""A worker returns a result for each clip, also if the clip fails."""

import csv
import pickle
from unittest.mock import Mock

import pytest

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ExtractionError
from pipeline.extraction import clip as clip_module
from pipeline.extraction.clip_cache import is_cached
from pipeline.extraction.tasks import ClipError, Job, Result, Task, write_failures
from pipeline.extraction.worker import build_work


@pytest.fixture
def work(monkeypatch):
    """Return a function that runs a task. The extractor returns or raises the given outcome."""

    def work(task, outcome):
        monkeypatch.setattr(clip_module, "ClipExtractor", lambda job: Mock(side_effect=[outcome]))
        return build_work(Job(config=ExtractionConfig()))(task)

    return work


@pytest.fixture
def task(tmp_path, make_sources):
    (source,) = make_sources("a.mp4")
    return Task(source=source, path=tmp_path / "x" / "a.npz", fingerprint="f")


def test_features_of_a_clip_are_written(work, task, make_features):
    assert work(task, make_features()).is_done
    assert is_cached(task)


@pytest.mark.parametrize(
    ("error", "stage", "reason"),
    [
        (ClipError("face", "no face"), "face", "no face"),
        (PermissionError(13, "Permission denied"), "open", "cannot be read (Permission denied)"),
        (ZeroDivisionError("by\nzero"), "encode", "unexpected ZeroDivisionError: by zero"),
    ],
)
def test_a_failed_clip_has_a_stage_and_a_reason(work, task, error, stage, reason):
    assert work(task, error) == Result(clip_id="a.mp4", stage=stage, reason=reason)
    assert not task.path.exists()


def test_an_unwritable_directory_ends_the_extraction(work, task, make_features):
    task.path.parent.write_text("a file instead of a directory")
    with pytest.raises(ExtractionError, match="cannot be written"):
        work(task, make_features())


def test_a_clip_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(ClipError("face", "no face\n is seen")))
    assert (error.stage, error.reason) == ("face", "no face is seen")
    assert str(error) == "face: no face is seen"


@pytest.mark.parametrize("rows", [[], [('a,"b"\n.mp4', "open", "x, y"), ("顔", "", "")]])
def test_the_table_of_failures_can_contain_any_name_and_reason(tmp_path, rows):
    failed = [Result(clip_id=name, stage=stage, reason=reason) for name, stage, reason in rows]
    write_failures(tmp_path / "failures.csv", failed)
    with (tmp_path / "failures.csv").open(encoding="utf-8", newline="") as file:
        assert [*map(tuple, csv.reader(file))] == [("clip_id", "stage", "reason"), *rows]
