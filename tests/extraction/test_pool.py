"""A worker that dies or hangs costs its clip, and nothing else."""

import multiprocessing
import time

import pytest

from pipeline.config.extraction import ExtractionConfig
from pipeline.core.errors import ExtractionError
from pipeline.extraction import pool as pool_module
from pipeline.extraction.pool import WorkerPool
from pipeline.extraction.sources import ClipSource
from pipeline.extraction.worker import Job, Task
from tests.extraction.odd_workers import (
    be_killed_while_building,
    build_interrupted_work,
    build_odd_work,
    die_while_building,
    fail_to_build,
    refuse_to_build,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    def run(*names, num_workers=2, limit=60.0, build=build_odd_work):
        config = ExtractionConfig(time_limit_seconds=limit)
        job = Job(config=config, has_videos=True, has_faces=False, has_flow=False)
        tasks = [
            Task(
                source=ClipSource(clip_id=name),
                path=tmp_path / name,
                made_with="",
                with_strip=False,
            )
            for name in names
        ]
        pool = WorkerPool(job, num_workers=num_workers, build=build)
        return {result.clip_id: result for result in pool.run(tasks)}

    return run


def test_every_clip_is_done_once_by_the_workers_there_are(run):
    names = [f"good-{number}" for number in range(9)]
    results = run(*names, num_workers=2)
    assert sorted(results) == sorted(names)
    assert all(result.is_done for result in results.values())
    assert len({result.seconds for result in results.values()}) <= 2


def test_a_worker_that_dies_twice_over_a_clip_costs_that_clip(run):
    results = run("good-1", "dies-1", "good-2", "good-3", num_workers=2)
    assert results["dies-1"].stage == "crash"
    assert "died 2 times (exit code -9)" in results["dies-1"].reason
    assert [results[f"good-{number}"].is_done for number in (1, 2, 3)] == [True] * 3


def test_a_clip_whose_worker_died_once_is_tried_again(run):
    assert run("stumbles-1", "good-1", num_workers=1)["stumbles-1"].is_done


def test_a_clip_that_takes_too_long_is_given_up(run):
    began = time.monotonic()
    results = run("hangs-1", "good-1", "good-2", num_workers=1, limit=1.0)
    assert results["hangs-1"].stage == "time"
    assert "time_limit_seconds=1" in results["hangs-1"].reason
    assert results["good-1"].is_done
    assert results["good-2"].is_done
    assert time.monotonic() - began < 60


def test_what_no_clip_can_help_ends_the_extraction(run):
    with pytest.raises(ExtractionError, match="no space left"):
        run("full-1", "good-1")


def test_a_worker_that_cannot_be_set_up_says_why(run):
    with pytest.raises(ExtractionError, match="weights are missing for hog"):
        run("good-1", build=refuse_to_build)


def test_an_unexpected_error_while_a_worker_is_set_up_is_named(run):
    expected = r"set up \(ValueError: Key backend: 'module://x' is not a valid value\)"
    with pytest.raises(ExtractionError, match=expected):
        run("good-1", build=fail_to_build)


def test_a_worker_that_dies_while_it_is_set_up_is_not_started_for_ever(run):
    with pytest.raises(RuntimeError, match="exit code 7"):
        run("good-1", build=die_while_building)


def test_a_worker_that_is_killed_while_it_is_set_up_is_said_with_the_cure(run):
    with pytest.raises(ExtractionError, match="smaller --num_workers"):
        run("good-1", build=be_killed_while_building)


def test_an_interrupt_leaves_no_worker_behind(run):
    with pytest.raises(KeyboardInterrupt):
        run("good-1", "good-2", build=build_interrupted_work)
    assert multiprocessing.active_children() == []


def test_no_clip_needs_no_worker(run):
    assert run() == {}


def test_a_worker_whose_parent_is_gone_ends_quietly(monkeypatch):
    monkeypatch.setattr(pool_module.signal, "signal", lambda *_: None)
    ours, theirs = multiprocessing.Pipe()

    def build(job):
        return lambda task: ours.close()

    ours.send("a clip")
    pool_module._serve(theirs, None, build)
    assert ours.closed


def test_a_worker_that_cannot_go_on_when_its_parent_is_gone_ends_quietly(monkeypatch):
    monkeypatch.setattr(pool_module.signal, "signal", lambda *_: None)
    ours, theirs = multiprocessing.Pipe()

    def build(job):
        ours.close()
        return refuse_to_build(job)

    job = Job(config=ExtractionConfig(), has_videos=True, has_faces=False, has_flow=False)
    pool_module._serve(theirs, job, build)
    assert ours.closed
