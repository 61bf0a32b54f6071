"""Extraction without workers, which take long to start."""

from pipeline.extraction.worker import build_work


class InThisProcess:
    """Stands in for the pool: spawned workers are tests/extraction/test_pool.py's."""

    def __init__(self, job, *, num_workers):
        del num_workers
        self._job = job

    def run(self, tasks):
        work = build_work(self._job)
        for task in tasks:
            yield work(task)
