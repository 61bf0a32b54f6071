import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.core.files import file_hash
from pipeline.data import writer
from pipeline.data.feature_set import load_feature_set
from pipeline.data.writer import write_feature_set

CLIPS = pd.DataFrame(
    {"clip_id": ["a.0", "a.1", "b,0"], "group": ["a", "a", "b"], "age": ["7", "", "031"]}
)
STATIC = np.arange(18, dtype=np.float16).reshape(3, 3, 2)
DYNAMIC = np.arange(6).reshape(3, 2)
LABELS = np.linspace(0, 1, 15).reshape(3, 5)
MASK = np.array([[True, True, False], [True, False, False], [True, True, True]])
ARRAYS = {"static": STATIC, "dynamic": DYNAMIC, "clips": CLIPS}


def test_what_is_written_loads_back_equal(tmp_path):
    features_dir = tmp_path / "new" / "features"
    write_feature_set(features_dir, **ARRAYS, labels=LABELS, static_mask=MASK)
    loaded = load_feature_set(features_dir)
    pd.testing.assert_frame_equal(loaded.clips, CLIPS)
    np.testing.assert_array_equal(loaded.labels, LABELS.astype(np.float32))
    np.testing.assert_array_equal(loaded.static.read(np.arange(3)), STATIC)
    np.testing.assert_array_equal(loaded.static.read_mask(np.arange(3)), MASK)
    np.testing.assert_array_equal(loaded.dynamic.read(np.arange(3)), DYNAMIC)
    assert np.load(features_dir / "static.npy").dtype == np.float16
    assert [path.name for path in features_dir.parent.iterdir()] == ["features"]


def test_the_times_of_the_steps_load_back_equal(tmp_path):
    seconds = np.array([[0, 0.5, np.nan], [0, 1, 2], [0.25, 3, 4]])
    arrays = {**ARRAYS, "dynamic": np.ones((3, 3, 1))}
    write_feature_set(tmp_path / "f", **arrays, seconds=seconds, rows=np.array([2, 0]))
    loaded = load_feature_set(tmp_path / "f")
    np.testing.assert_array_equal(loaded.seconds.read(np.arange(2)), seconds[[2, 0]])
    assert np.load(tmp_path / "f" / "seconds.npy").dtype == np.float32


def test_metadata_stand_beside_shapes_types_and_digests(tmp_path):
    write_feature_set(tmp_path / "features", **ARRAYS, metadata={"encoder": "resnet"})
    metadata = json.loads((tmp_path / "features" / "features.json").read_text())
    assert metadata["encoder"] == "resnet"
    assert metadata["files"]["static.npy"] == {
        "shape": [3, 3, 2],
        "dtype": "float16",
        "sha256": file_hash(tmp_path / "features" / "static.npy"),
    }
    assert sorted(metadata["files"]) == ["dynamic.npy", "static.npy"]


def test_only_the_rows_asked_for_are_written(tmp_path):
    rows = np.array([2, 0])
    write_feature_set(tmp_path / "f", **ARRAYS, labels=LABELS, static_mask=MASK, rows=rows)
    loaded = load_feature_set(tmp_path / "f")
    assert loaded.clip_ids.tolist() == ["b,0", "a.0"]
    np.testing.assert_array_equal(loaded.static.read(np.arange(2)), STATIC[rows])
    np.testing.assert_array_equal(loaded.static.read_mask(np.arange(2)), MASK[rows])
    np.testing.assert_array_equal(loaded.labels, LABELS[rows].astype(np.float32))


@pytest.mark.parametrize("rows", [None, np.array([2, 1, 0])])
def test_large_arrays_are_written_chunk_by_chunk(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(writer, "CHUNK_BYTES", 25)  # two rows of the static stream
    write_feature_set(tmp_path / "features", **ARRAYS, rows=rows)
    written = np.load(tmp_path / "features" / "static.npy")
    np.testing.assert_array_equal(written, STATIC if rows is None else STATIC[rows])


@pytest.mark.parametrize("as_stored", [np.asfortranarray, lambda array: array.astype(">f8")])
def test_any_layout_in_memory_is_written(tmp_path, as_stored):
    write_feature_set(tmp_path / "features", **{**ARRAYS, "static": as_stored(STATIC)})
    np.testing.assert_array_equal(np.load(tmp_path / "features" / "static.npy"), STATIC)


def test_an_empty_directory_is_filled(tmp_path):
    (tmp_path / "features").mkdir()
    write_feature_set(tmp_path / "features", **ARRAYS)
    assert load_feature_set(tmp_path / "features").num_clips == 3


def test_the_files_are_as_readable_as_any_other(tmp_path):
    write_feature_set(tmp_path / "features", **ARRAYS)
    (tmp_path / "other").mkdir()
    assert (tmp_path / "features").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_directory_that_holds_something_is_not_overwritten(tmp_path):
    write_feature_set(tmp_path / "features", **ARRAYS)
    digest = load_feature_set(tmp_path / "features").digest
    with pytest.raises(FeatureSetError, match="exists already"):
        write_feature_set(tmp_path / "features", **ARRAYS, labels=LABELS)
    assert load_feature_set(tmp_path / "features").digest == digest


def test_a_file_is_not_overwritten(tmp_path):
    (tmp_path / "features").write_text("mine")
    with pytest.raises(FeatureSetError, match="exists already"):
        write_feature_set(tmp_path / "features", **ARRAYS)
    assert (tmp_path / "features").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS * 100}, r"Not written: .*features/labels\.npy: row 0 \(clip a\.0\)"),
        ({"dynamic": DYNAMIC[:2]}, r"features/dynamic\.npy: has 2 rows"),
        ({"clips": CLIPS.drop(columns="group")}, "no column group"),
        ({"static": np.array([[1], [1, 2], [3]], dtype=object)}, "Python objects"),
    ],
)
def test_a_set_that_breaks_the_contract_leaves_nothing(tmp_path, change, message):
    with pytest.raises(FeatureSetError, match=message):
        write_feature_set(tmp_path / "features", **{**ARRAYS, **change})
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_is_killed_leaves_nothing_at_the_destination(tmp_path, repository):
    program = (
        "import os, signal, sys, pathlib, numpy as np, pandas as pd\n"
        "from pipeline.data import writer\n"
        "writer.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "clips = pd.DataFrame({'clip_id': ['a'], 'group': ['a']})\n"
        "one = np.zeros((1, 2))\n"
        "writer.write_feature_set("
        "pathlib.Path(sys.argv[1]) / 'features', static=one, dynamic=one, clips=clips)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=False, cwd=repository
    )
    assert result.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".features.*/static.npy"))
    assert not (tmp_path / "features").exists()
    with pytest.raises(FeatureSetError, match=r"holds no static\.npy"):
        load_feature_set(tmp_path)


def test_a_new_write_removes_what_a_kill_left_long_ago(tmp_path):
    for name, age in ((".features.0123abcd", 7200), (".features.4567abcd", 0), (".other", 7200)):
        (tmp_path / name).mkdir()
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    write_feature_set(tmp_path / "features", **ARRAYS)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"features", ".features.4567abcd", ".other"}
