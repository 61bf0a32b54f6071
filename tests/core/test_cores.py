import os

import pytest

from pipeline.core.cores import num_usable_cores


def test_only_allowed_cores_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert num_usable_cores() == 2


@pytest.mark.parametrize(("found", "expected"), [(6, 6), (None, 1)])
def test_without_a_limit_all_cores_count(monkeypatch, found, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: found)
    assert num_usable_cores() == expected
