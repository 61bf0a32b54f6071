import pytest

from pipeline.core.errors import first_line, one_line


@pytest.mark.parametrize(
    ("error", "start", "whole"),
    [
        (OSError("first\nsecond"), "first", "first second"),
        (TimeoutError(), "TimeoutError", "TimeoutError"),
        (ValueError("x" * 400), "x" * 300, "x" * 400),
        (ValueError("http://me:s3cret@host"), "http://me:***@host", "http://me:***@host"),
    ],
)
def test_an_error_has_one_line_without_passwords(error, start, whole):
    assert first_line(error) == start
    assert one_line(error) == whole
