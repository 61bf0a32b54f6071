import threading
import time

import pytest

from pipeline.tracking.store import call_within


@pytest.mark.parametrize("value", [1, None])
def test_the_result_of_a_call_is_returned(value):
    assert call_within(60, lambda: value) is value


def test_the_error_of_a_call_is_raised():
    with pytest.raises(ZeroDivisionError):
        call_within(None, lambda: 1 / 0)


def test_a_call_that_takes_too_long_is_given_up():
    released = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        call_within(0.1, lambda: released.wait(60))
    assert time.monotonic() - began < 10
    released.set()
