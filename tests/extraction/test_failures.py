"""A failure keeps its stage and its reason on the way out of a worker."""

import csv
import pickle

from pipeline.extraction.failures import ClipError, write_failures
from pipeline.extraction.worker import Result


def test_a_failure_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(ClipError("face", "no face\n is seen")))
    assert (error.stage, error.reason, str(error)) == (
        "face",
        "no face is seen",
        "face: no face is seen",
    )


def test_the_table_holds_any_name_and_reason(tmp_path):
    failed = [Result(clip_id='a,"b"\n.mp4', stage="open", reason="x, y"), Result(clip_id="顔")]
    write_failures(tmp_path / "failures.csv", failed)
    with (tmp_path / "failures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["clip_id", "stage", "reason"], ['a,"b"\n.mp4', "open", "x, y"], ["顔", "", ""]]


def test_without_failures_the_table_is_empty(tmp_path):
    write_failures(tmp_path / "failures.csv", [])
    assert (tmp_path / "failures.csv").read_text() == "clip_id,stage,reason\n"
