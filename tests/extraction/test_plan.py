"""A plan holds what is missing, and no more."""

import json

import pytest

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ExtractionError
from pipeline.extraction.plan import plan_work
from pipeline.extraction.sources import ClipSource
from pipeline.extraction.worker import Job


@pytest.fixture
def sources(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).write_bytes(b"x")
        return [ClipSource(clip_id=name, video=tmp_path / name) for name in names]

    return make


def job(**settings):
    config = ExtractionConfig(**settings)
    return Job(config=config, has_videos=True, has_faces=False, has_flow=False)


def test_every_clip_is_a_task_with_a_file_of_its_own(tmp_path, sources):
    plan = plan_work(job(), sources("a.mp4", "b.mp4"), tmp_path / "out")
    assert [task.source.clip_id for task in plan.tasks] == ["a.mp4", "b.mp4"]
    assert len({task.path for task in plan.tasks}) == 2
    assert list(plan.units) == ["a.mp4", "b.mp4"]


def test_the_first_clips_are_shown(tmp_path, sources):
    plan = plan_work(job(num_shown=1), sources("a.mp4", "b.mp4"), tmp_path / "out")
    assert [task.with_strip for task in plan.tasks] == [True, False]
    assert plan.num_shown == 1


def test_a_clip_whose_file_is_gone_is_no_task(tmp_path, sources):
    gone = ClipSource(clip_id="gone.mp4", video=tmp_path / "gone.mp4")
    plan = plan_work(job(), [*sources("a.mp4"), gone], tmp_path / "out")
    assert [task.source.clip_id for task in plan.tasks] == ["a.mp4"]
    assert [(result.clip_id, result.stage) for result in plan.failed] == [("gone.mp4", "open")]
    assert list(plan.units) == ["a.mp4"]


def test_features_made_otherwise_are_not_replaced(tmp_path, sources):
    out = tmp_path / "out"
    (out / ".units").mkdir(parents=True)
    (out / "features.json").write_text(json.dumps({"encoder": {"name": "other"}}))
    with pytest.raises(ExtractionError, match=r"encoder.name was 'other' and is 'hog \+ "):
        plan_work(job(), sources("a.mp4"), out)


def test_what_a_killed_worker_was_writing_is_removed(tmp_path, sources):
    plan = plan_work(job(), sources("a.mp4"), tmp_path / "out")
    unfinished = plan.tasks[0].path.with_name(".half.0123abcd.npz")
    unfinished.parent.mkdir()
    unfinished.write_bytes(b"x")
    table = tmp_path / "out" / ".failures.csv.0123abcd.csv"
    table.touch()
    plan_work(job(), sources("a.mp4"), tmp_path / "out")
    assert not unfinished.exists()
    assert not table.exists()
