import gc

import pytest

from pipeline.core.garbage import without_collections


@pytest.fixture(autouse=True)
def _as_before():
    is_enabled, is_frozen = gc.isenabled(), gc.get_freeze_count() > 0
    yield
    (gc.freeze if is_frozen else gc.unfreeze)()
    (gc.enable if is_enabled else gc.disable)()


@pytest.mark.parametrize("is_enabled", [True, False])
def test_nothing_is_collected_inside_and_all_is_as_before_after_it(is_enabled):
    (gc.enable if is_enabled else gc.disable)()
    with without_collections():
        assert not gc.isenabled()
    assert gc.isenabled() == is_enabled


def test_what_is_there_at_the_end_is_left_alone():
    gc.unfreeze()
    with without_collections():
        pass
    assert gc.get_freeze_count() > 1000


def test_an_import_that_fails_leaves_collections_on():
    gc.enable()
    with pytest.raises(ImportError), without_collections():
        raise ImportError
    assert gc.isenabled()
