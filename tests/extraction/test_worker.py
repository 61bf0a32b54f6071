"""A worker turns whatever happens to a clip into a result."""

import numpy as np
import pytest

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ExtractionError
from pipeline.extraction import clip as clip_module
from pipeline.extraction.clip_cache import is_done
from pipeline.extraction.failures import ClipError
from pipeline.extraction.sources import ClipSource
from pipeline.extraction.worker import Job, Result, Task, build_work


@pytest.fixture
def work(monkeypatch):
    """Do one clip with an extractor that does what it is told."""

    def do(task, outcome):
        class Extractor:
            def __init__(self, config, **has):
                pass

            def __call__(self, source, *, with_strip):
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome

        monkeypatch.setattr(clip_module, "ClipExtractor", Extractor)
        job = Job(config=ExtractionConfig(), has_videos=True, has_faces=False, has_flow=False)
        return build_work(job)(task)

    return do


@pytest.fixture
def task(tmp_path):
    source = ClipSource(clip_id="a.mp4", video=tmp_path / "a.mp4")
    return Task(source=source, path=tmp_path / "x" / "a.npz", made_with="f", with_strip=False)


FEATURES = clip_module.ClipFeatures(
    static=np.zeros((1, 2)),
    static_mask=np.array([True]),
    dynamic=np.zeros((1, 2)),
    dynamic_mask=np.array([True]),
    seconds=np.zeros(1),
    boxes=np.zeros((1, 4)),
    quality={},
    warnings=[],
    strip=None,
)


def test_a_clip_that_is_done_is_written(work, task):
    result = work(task, FEATURES)
    assert result.is_done
    assert result.seconds > 0
    assert is_done(task.path, made_with="f", needs_strip=False)


@pytest.mark.parametrize(
    ("error", "stage", "reason"),
    [
        (ClipError("face", "no face"), "face", "no face"),
        (PermissionError(13, "Permission denied"), "open", "cannot be read (Permission denied)"),
        (ZeroDivisionError("by\nzero"), "encode", "unexpected ZeroDivisionError: by zero"),
    ],
)
def test_a_clip_that_fails_is_a_result_with_stage_and_reason(work, task, error, stage, reason):
    assert work(task, error) == Result(clip_id="a.mp4", stage=stage, reason=reason)
    assert not task.path.exists()


def test_a_place_that_cannot_be_written_is_no_fault_of_the_clip(work, task):
    task.path.parent.write_text("a file where a directory should be")
    with pytest.raises(ExtractionError, match="cannot be written"):
        work(task, FEATURES)
