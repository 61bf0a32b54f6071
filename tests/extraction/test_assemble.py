"""Files of clips become a feature set, and replace an earlier one whole."""

import dataclasses
import json
import shlex
import subprocess
import sys

import cv2
import numpy as np
import pytest

from pipeline.core.errors import ExtractionError
from pipeline.data.feature_set import load_feature_set
from pipeline.extraction.assemble import earlier_metadata, gather, write_contact_sheet
from pipeline.extraction.clip import ClipFeatures
from pipeline.extraction.clip_cache import unit_path, write_unit


def clip(value, **changes):
    features = ClipFeatures(
        static=np.full((2, 3), value, dtype=np.float32),
        static_mask=np.array([True, False]),
        dynamic=np.full((2, 2), -value, dtype=np.float32),
        dynamic_mask=np.array([True, True]),
        seconds=np.zeros(2),
        boxes=np.zeros((2, 4)),
        quality={"sharpness": value},
        warnings=[],
        strip=None,
    )
    return dataclasses.replace(features, **changes)


@pytest.fixture
def units(tmp_path):
    def write(**features):
        paths = {}
        for name, each in features.items():
            clip_id = f"{name}.0,1 ü.mp4"
            paths[clip_id] = unit_path(tmp_path / "out" / ".units", clip_id)
            write_unit(paths[clip_id], each, made_with="f")
        return paths

    return write


def test_a_set_holds_the_clips_in_their_order(tmp_path, units):
    out = tmp_path / "out"
    labels = np.array([[0.1] * 5, [0.2] * 5])
    (out / ".gather.0123abcd" / "set").mkdir(parents=True)  # of a process that was killed
    gather(out, units(b=clip(2.0), a=clip(1.0)), labels=labels, metadata={"encoder": {"x": 1}})
    features = load_feature_set(out)
    assert features.clip_ids.tolist() == ["b.0,1 ü.mp4", "a.0,1 ü.mp4"]
    assert features.groups.tolist() == ["b", "a"]
    np.testing.assert_array_equal(features.static.read(np.arange(2))[:, 0, 0], [2, 1])
    np.testing.assert_array_equal(features.dynamic.read(np.arange(2))[:, 0, 0], [-2, -1])
    assert features.static.read_mask(np.arange(2)).tolist() == [[True, False]] * 2
    np.testing.assert_allclose(features.labels[:, 0], [0.1, 0.2])
    assert features.clips["sharpness"].tolist() == ["2.0", "1.0"]
    assert features.metadata["encoder"] == {"x": 1}
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == [".units"]


def test_a_later_set_replaces_the_earlier_one_and_its_labels(tmp_path, units):
    out = tmp_path / "out"
    gather(out, units(a=clip(1.0)), labels=np.full((1, 5), 0.5), metadata={})
    gather(out, units(a=clip(1.0), b=clip(2.0)), labels=None, metadata={})
    features = load_feature_set(out)
    assert features.num_clips == 2
    assert features.labels is None


def test_warnings_stand_in_the_table(tmp_path, units):
    out = tmp_path / "out"
    gather(out, units(a=clip(1.0, warnings=["cut", "dark"])), labels=None, metadata={})
    assert load_feature_set(out).clips["warnings"].tolist() == ["cut; dark"]


def test_a_set_that_is_being_replaced_counts_as_unfinished(tmp_path, units, monkeypatch):
    out = tmp_path / "out"
    gather(out, units(a=clip(1.0)), labels=None, metadata={})
    real = type(out).replace

    def fail(self, target):
        if self.name == "static.npy":
            raise OSError("disk gone")
        return real(self, target)

    monkeypatch.setattr(type(out), "replace", fail)
    with pytest.raises(OSError, match="disk gone"):
        gather(out, units(a=clip(1.0)), labels=None, metadata={})
    monkeypatch.undo()
    assert earlier_metadata(out) is None
    gather(out, units(a=clip(1.0)), labels=None, metadata={})
    assert load_feature_set(out).num_clips == 1


def test_a_full_disk_is_an_error_and_no_crash(tmp_path, units):
    """Arrays that are memory-mapped to be written end the process there, without a word."""
    frames = {f"clip{number}": clip(1.0, static=np.ones((64, 512), np.float32)) for number in "ab"}
    paths = [str(path) for path in units(**frames).values()]
    program = (
        "import sys, pathlib\n"
        "from pipeline.extraction.assemble import gather\n"
        "units = {path: pathlib.Path(path) for path in sys.argv[2:]}\n"
        "try:\n"
        "    gather(pathlib.Path(sys.argv[1]), units, labels=None, metadata={})\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=128k none {shlex.quote(str(small))}"
    in_own_mounts = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*in_own_mounts, mount], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    command = shlex.join([sys.executable, "-c", program, str(small / "out"), *paths])
    finished = subprocess.run(
        [*in_own_mounts, f"{mount} && {command}"], capture_output=True, text=True, check=False
    )
    assert (finished.stdout, finished.returncode) == ("No space left on device\n", 0)


def test_the_contact_sheet_stacks_the_strips_that_there_are(tmp_path, units):
    strips = [np.full((10, width, 3), 99, dtype=np.uint8) for width in (40, 60)]
    paths = units(a=clip(1.0, strip=strips[0]), b=clip(2.0), c=clip(3.0, strip=strips[1]))
    sheet = cv2.imread(str(write_contact_sheet(tmp_path / "out", list(paths.values()))))
    assert sheet.shape[1] == 60
    assert sheet[0, 0].tolist() == [99] * 3
    assert sheet[0, 50].tolist() == [255] * 3


def test_without_strips_there_is_no_sheet(tmp_path, units):
    assert write_contact_sheet(tmp_path, list(units(a=clip(1.0)).values())) is None


def test_what_an_earlier_run_said_is_found(tmp_path, units):
    gather(tmp_path / "out", units(a=clip(1.0)), labels=None, metadata={"content": "x"})
    assert earlier_metadata(tmp_path / "out")["content"] == "x"
    assert earlier_metadata(tmp_path / "none") is None


def test_a_directory_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(ExtractionError, match="no extraction has written"):
        earlier_metadata(tmp_path)
    with pytest.raises(ExtractionError, match="is a file"):
        earlier_metadata(tmp_path / "thesis.doc")


def test_shapes_and_digests_are_in_the_metadata(tmp_path, units):
    gather(tmp_path / "out", units(a=clip(1.0)), labels=None, metadata={})
    metadata = json.loads((tmp_path / "out" / "features.json").read_text())
    assert metadata["files"]["static.npy"]["shape"] == [1, 2, 3]
