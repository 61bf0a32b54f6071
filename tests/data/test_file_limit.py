import resource
from pathlib import Path

import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.file_limit import make_room_for


@pytest.fixture(autouse=True)
def _as_before():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def set_soft_limit(number):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))


def soft_limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_the_limit_is_raised_as_far_as_it_takes():
    set_soft_limit(700)
    make_room_for(100, Path("features"))
    assert soft_limit() == 700
    make_room_for(1000, Path("features"))
    assert 1000 < soft_limit() < 2000


def test_what_the_system_does_not_allow_is_refused(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(FeatureSetError, match=r"set has 5000 files.*allows 4096.*ulimit"):
        make_room_for(5000, Path("features"))
