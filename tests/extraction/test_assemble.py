"""A feature set is assembled from cache files. It replaces an earlier set."""

import shlex
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import ExtractionError
from pipeline.data.feature_set import load_feature_set
from pipeline.extraction.assemble import (
    SHEET_NAME,
    assemble_feature_set,
    read_earlier_metadata,
    write_contact_sheet,
)
from pipeline.extraction.clip_cache import cache_path, write_cached_clip
from pipeline.extraction.tasks import ClipSource, Task


@pytest.fixture
def cached(tmp_path, make_features):
    """Return a function that caches clips. A number means features with this value."""

    def write(**clips):
        paths = {}
        for name, clip in clips.items():
            clip_id = f"{name}.0,1 ü.mp4"
            paths[clip_id] = cache_path(tmp_path / "out" / ".units", clip_id)
            features = make_features(clip) if isinstance(clip, float) else clip
            task = Task(source=ClipSource(clip_id=clip_id), path=paths[clip_id], fingerprint="f")
            write_cached_clip(task, features)
        return paths

    return write


def assemble(out, paths, *, groups=None, labels=None, metadata=None):
    columns = pd.DataFrame({"group": groups or [clip_id.partition(".")[0] for clip_id in paths]})
    assemble_feature_set(out, paths, columns=columns, labels=labels, metadata=metadata or {})


def test_a_feature_set_contains_the_clips_in_order(tmp_path, cached):
    out = tmp_path / "out"
    labels = np.array([[0.1] * 5, [0.2] * 5])
    (out / ".gather.0123abcd" / "set").mkdir(parents=True)  # left by a killed process
    assemble(out, cached(b=2.0, a=1.0), labels=labels, metadata={"encoder": {"x": 1}})
    features = load_feature_set(out)
    assert features.clip_ids.tolist() == ["b.0,1 ü.mp4", "a.0,1 ü.mp4"]
    assert features.groups.tolist() == ["b", "a"]
    np.testing.assert_array_equal(features.streams["static"].read(np.arange(2))[:, 0, 0], [2, 1])
    np.testing.assert_array_equal(features.streams["dynamic"].read(np.arange(2))[:, 0, 0], [-2, -1])
    assert features.streams["static"].read_mask(np.arange(2)).tolist() == [[True, False]] * 2
    np.testing.assert_allclose(features.labels[:, 0], [0.1, 0.2])
    assert features.clips["sharpness"].tolist() == ["2.0", "1.0"]
    assert features.metadata["encoder"] == {"x": 1}
    assert features.metadata["files"]["static.npy"]["shape"] == [2, 2, 3]
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == [".units"]


def test_a_later_set_replaces_an_earlier_set_and_its_labels(tmp_path, cached, make_features):
    out = tmp_path / "out"
    assemble(out, cached(a=1.0), labels=np.full((1, 5), 0.5))
    paths = cached(a=1.0, b=make_features(warnings=["cut", "dark"]))
    assemble(out, paths, metadata={"content": "new"})
    features = load_feature_set(out)
    assert features.clips["warnings"].tolist() == ["", "cut; dark"]
    assert features.num_clips == 2
    assert features.labels is None
    assert read_earlier_metadata(out)["content"] == "new"


def edit(out, **columns):
    """Change columns of the clip table by hand."""
    table = pd.read_csv(out / "clips.csv", dtype=str, keep_default_na=False)
    table.assign(**columns).to_csv(out / "clips.csv", index=False)


def test_changes_of_the_clip_table_by_hand_are_kept(tmp_path, cached, caplog):
    out, paths = tmp_path / "out", cached(a=1.0, b=2.0)
    assemble(out, paths)
    edit(out, group=["anna", "anna"], age=["30", "31"])
    assemble(out, cached(a=1.0, b=2.0, c=3.0), metadata={"content": "new"})
    clips = load_feature_set(out).clips
    assert clips["group"].tolist() == ["anna", "anna", "c"]
    assert clips["age"].tolist() == ["30", "31", ""]
    assert caplog.messages == []


def test_a_change_by_hand_that_conflicts_with_a_new_value_is_kept_and_named(
    tmp_path, cached, caplog
):
    out, paths = tmp_path / "out", cached(a=1.0, b=2.0, c=3.0)
    assemble(out, paths)
    edit(out, group=["anna", "b", "ben"])
    assemble(out, paths, groups=["x", "y", "ben"])
    assert load_feature_set(out).groups.tolist() == ["anna", "y", "ben"]
    (message,) = caplog.messages
    assert "1 cells were changed by hand" in message
    assert "The first is group of a.0,1 ü.mp4" in message


def test_a_partly_replaced_set_counts_as_unfinished(tmp_path, cached, monkeypatch):
    out, paths = tmp_path / "out", cached(a=1.0)
    assemble(out, paths)
    replace = type(out).replace

    def fail(self, target):
        if self.name == "static.npy":
            raise OSError("disk gone")
        return replace(self, target)

    monkeypatch.setattr(type(out), "replace", fail)
    with pytest.raises(OSError, match="disk gone"):
        assemble(out, paths)
    monkeypatch.undo()
    assert read_earlier_metadata(out) is None
    assemble(out, paths)
    assert load_feature_set(out).num_clips == 1


def test_a_full_disk_is_an_error_and_not_a_crash(tmp_path, cached, make_features):
    """Memory-mapped output would end the process with SIGBUS."""
    large = make_features(static=np.ones((64, 512), np.float32))
    paths = [str(path) for path in cached(a=large, b=large).values()]
    program = (
        "import sys, pathlib, pandas\n"
        "from pipeline.extraction.assemble import assemble_feature_set\n"
        "paths = {path: pathlib.Path(path) for path in sys.argv[2:]}\n"
        "try:\n"
        "    columns = pandas.DataFrame({'group': list(paths)})\n"
        "    out = pathlib.Path(sys.argv[1])\n"
        "    assemble_feature_set(out, paths, columns=columns, labels=None, metadata={})\n"
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


def test_the_contact_sheet_stacks_the_strips(tmp_path, cached, make_features):
    strips = [np.full((10, width, 3), 99, dtype=np.uint8) for width in (40, 60)]
    paths = cached(a=make_features(strip=strips[0]), b=2.0, c=make_features(strip=strips[1]))
    write_contact_sheet(tmp_path, list(paths.values()))
    sheet = cv2.imread(str(tmp_path / SHEET_NAME))
    assert sheet.shape[1] == 60
    assert sheet[0, 0].tolist() == [99] * 3
    assert sheet[0, 50].tolist() == [255] * 3


@pytest.mark.parametrize(
    ("name", "message"), [("", "was not written by an extraction"), ("thesis.doc", "is a file")]
)
def test_a_directory_with_other_files_is_an_error(tmp_path, name, message):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(ExtractionError, match=message):
        read_earlier_metadata(tmp_path / name)
