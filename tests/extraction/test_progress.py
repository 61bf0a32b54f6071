"""Progress is a bar for people and a line a minute for logs."""

import io

import rich.console

from pipeline.extraction import progress
from pipeline.extraction.progress import ExtractionProgress


def console(*, is_terminal):
    return rich.console.Console(file=io.StringIO(), force_terminal=is_terminal, width=120)


def shown(screen, num_clips=3):
    with ExtractionProgress(num_clips, screen) as bar:
        for number in range(num_clips):
            bar.advance(failed=number == 1)
    return screen.file.getvalue()


def test_a_person_sees_how_many_are_done_and_failed():
    text = shown(console(is_terminal=True))
    assert "clip 3/3" in text
    assert "1 failed" in text


def test_a_log_stays_silent_for_a_short_extraction():
    assert shown(console(is_terminal=False)) == ""


def test_a_log_has_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    lines = shown(console(is_terminal=False)).splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("clip 3/3")
    assert lines[-1].endswith("1 failed")
