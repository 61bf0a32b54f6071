"""Actors of Ray do what is done without them."""

import os

import pytest

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ExtractionError
from pipeline.extraction.ray_engine import run_on_ray
from pipeline.extraction.sources import ClipSource
from pipeline.extraction.worker import Job, Result, Task
from tests.extraction.in_this_process import InThisProcess

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


class OddActor:
    """Dies, stumbles or hangs by the name of its clip."""

    def __init__(self, job):
        del job

    def do(self, task):
        import os
        import time

        kind = task.source.clip_id.partition("-")[0]
        first_time = not task.path.exists()
        task.path.touch()
        if kind == "dies" or (kind == "stumbles" and first_time):
            os._exit(3)
        if kind == "hangs":
            time.sleep(600)
        if kind == "slow":
            time.sleep(2)
        if kind == "full":
            raise ExtractionError("no space left")
        return Result(clip_id=task.source.clip_id)


class Unready:
    """Cannot be set up."""

    def __init__(self, job):
        raise ValueError("weights are missing")

    def do(self, task):
        return task


def run(tmp_path, *names, limit=60.0, actor_class=OddActor, num_workers=2):
    config = ExtractionConfig(time_limit_seconds=limit)
    job = Job(config=config, has_videos=True, has_faces=False, has_flow=False)
    tasks = [
        Task(source=ClipSource(clip_id=name), path=tmp_path / name, made_with="", with_strip=False)
        for name in names
    ]
    results = run_on_ray(job, tasks, num_workers=num_workers, actor_class=actor_class)
    return {result.clip_id: result for result in results}


def test_every_clip_is_done_and_one_whose_actor_dies_costs_itself(tmp_path):
    results = run(tmp_path, "good-1", "dies-1", "stumbles-1", "good-2")
    assert results["dies-1"].stage == "crash"
    assert sorted(name for name, result in results.items() if result.is_done) == [
        "good-1",
        "good-2",
        "stumbles-1",
    ]


def test_a_clip_that_takes_too_long_is_given_up(tmp_path):
    results = run(tmp_path, "hangs-1", "good-1", limit=1.0)
    assert results["hangs-1"].stage == "time"
    assert results["good-1"].is_done


def test_an_actor_that_cannot_be_set_up_says_why(tmp_path):
    with pytest.raises(ExtractionError, match="weights are missing"):
        run(tmp_path, "good-1", actor_class=Unready)


@pytest.mark.odd_cluster
def test_clips_do_not_wait_for_an_actor_without_a_processor(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.extraction.ray_engine._SETUP_SECONDS", 30.0)
    names = [f"slow-{number}" for number in range(4)]
    results = run(tmp_path, *names, limit=3.0, num_workers=4)
    assert [results[name].stage for name in names] == [""] * 4


@pytest.mark.odd_cluster
def test_a_cluster_without_a_free_processor_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.extraction.ray_engine._SETUP_SECONDS", 3.0)
    holders = [ray.remote(num_cpus=1)(OddActor).remote(None) for _ in range(2)]
    ray.get([holder.__ray_ready__.remote() for holder in holders])
    try:
        with pytest.raises(ExtractionError, match="free processor"):
            run(tmp_path, "good-1")
    finally:
        for holder in holders:
            ray.kill(holder)


def test_what_no_clip_can_help_ends_the_extraction(tmp_path):
    with pytest.raises(ExtractionError, match=r"^no space left$"):
        run(tmp_path, "full-1", "good-1")


def test_features_made_on_ray_are_those_made_here(tmp_path, clips, monkeypatch):
    from pipeline.data.feature_set import load_feature_set
    from pipeline.extraction import run as run_module

    monkeypatch.setattr(run_module, "WorkerPool", InThisProcess)
    for engine in ("local", "ray"):
        run_module.extract_features(
            features_dir=tmp_path / engine,
            videos_dir=clips[0].parent,
            num_workers=1,
            engine=engine,
        )
    one, other = (load_feature_set(tmp_path / engine) for engine in ("local", "ray"))
    assert one.num_clips == other.num_clips == len(clips)
    assert one.digest == other.digest
    assert os.environ.get("RAY_ADDRESS") is None
