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
from pipeline.data.writer import StreamValues, write_feature_set

CLIPS = pd.DataFrame(
    {"clip_id": ["a.0", "a.1", "b,0"], "group": ["a", "a", "b"], "age": ["7", "", "031"]}
)
STATIC = np.arange(18, dtype=np.float16).reshape(3, 3, 2)
DYNAMIC = np.arange(6).reshape(3, 2)
LABELS = np.linspace(0, 1, 15).reshape(3, 5)
MASK = np.array([[True, True, False], [True, False, False], [True, True, True]])
STREAMS = {"static": StreamValues(values=STATIC), "dynamic": StreamValues(values=DYNAMIC)}
ARRAYS = {"streams": STREAMS, "clips": CLIPS}


def stream(name, values):
    return {**STREAMS, name: StreamValues(values=values)}


@pytest.mark.parametrize("rows", [None, np.array([2, 1, 0])])
def test_a_written_set_loads_with_the_same_values(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(writer, "CHUNK_BYTES", 25)  # two rows of the static stream
    features_dir = tmp_path / "new" / "features"
    seconds = np.array([[0, 0.5, np.nan], [0, 1, 2], [0.25, 3, 4]])
    static = StreamValues(values=STATIC, mask=MASK, seconds=seconds)
    streams = {"static": static, "dynamic": StreamValues(values=DYNAMIC)}
    arrays = {"streams": streams, "clips": CLIPS, "labels": LABELS}
    write_feature_set(features_dir, **arrays, rows=rows)
    loaded = load_feature_set(features_dir)
    written = np.arange(3) if rows is None else rows
    read = np.arange(len(written))
    expected = CLIPS.iloc[written].reset_index(drop=True)
    pd.testing.assert_frame_equal(loaded.clips, expected)
    np.testing.assert_array_equal(loaded.labels, LABELS[written].astype(np.float32))
    np.testing.assert_array_equal(loaded.streams["static"].read(read), STATIC[written])
    np.testing.assert_array_equal(loaded.streams["static"].read_mask(read), MASK[written])
    np.testing.assert_array_equal(loaded.streams["dynamic"].read(read), DYNAMIC[written])
    np.testing.assert_array_equal(loaded.seconds["static"].read(read), seconds[written])
    assert np.load(features_dir / "static.npy").dtype == np.float16
    assert np.load(features_dir / "seconds.npy").dtype == np.float32
    assert [path.name for path in features_dir.parent.iterdir()] == ["features"]


def test_metadata_contains_shapes_types_and_hashes(tmp_path):
    write_feature_set(tmp_path / "features", **ARRAYS, metadata={"encoder": "resnet"})
    metadata = json.loads((tmp_path / "features" / "features.json").read_text())
    assert metadata["encoder"] == "resnet"
    assert metadata["files"]["static.npy"] == {
        "shape": [3, 3, 2],
        "dtype": "float16",
        "sha256": file_hash(tmp_path / "features" / "static.npy"),
    }
    assert sorted(metadata["files"]) == ["dynamic.npy", "static.npy"]


def test_an_empty_directory_is_filled_with_its_usual_permissions(tmp_path):
    for name in ("features", "other"):
        (tmp_path / name).mkdir()
    write_feature_set(tmp_path / "features", **ARRAYS)
    assert load_feature_set(tmp_path / "features").num_clips == 3
    assert (tmp_path / "features").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_file_or_a_set_is_never_overwritten(tmp_path):
    write_feature_set(tmp_path / "features", **ARRAYS)
    before = load_feature_set(tmp_path / "features").digest
    (tmp_path / "file").write_text("mine")
    for name in ("features", "file"):
        with pytest.raises(FeatureSetError, match=f"{name}: exists already"):
            write_feature_set(tmp_path / name, **ARRAYS, labels=LABELS)
    assert load_feature_set(tmp_path / "features").digest == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS * 100}, r"Not written: .*features/labels\.npy: row 0 \(clip a\.0\)"),
        ({"streams": stream("dynamic", DYNAMIC[:2])}, r"features/dynamic\.npy: has 2 rows"),
        ({"clips": CLIPS.drop(columns="group")}, "no column group"),
        (
            {"streams": stream("static", np.array([[1], [1, 2], [3]], dtype=object))},
            "Python objects",
        ),
    ],
)
def test_a_bad_set_is_an_error_and_leaves_no_files(tmp_path, change, message):
    with pytest.raises(FeatureSetError, match=message):
        write_feature_set(tmp_path / "features", **{**ARRAYS, **change})
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_no_feature_set(tmp_path, repository):
    program = (
        "import os, signal, sys, pathlib, numpy as np, pandas as pd\n"
        "from pipeline.data import writer\n"
        "writer.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "clips = pd.DataFrame({'clip_id': ['a'], 'group': ['a']})\n"
        "one = np.zeros((1, 2))\n"
        "streams = {'static': writer.StreamValues(values=one)}\n"
        "writer.write_feature_set("
        "pathlib.Path(sys.argv[1]) / 'features', streams=streams, clips=clips)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], check=False, cwd=repository
    )
    assert result.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(".features.*/static.npy"))
    assert not (tmp_path / "features").exists()
    with pytest.raises(FeatureSetError, match="has no stream"):
        load_feature_set(tmp_path)


def test_a_write_removes_old_temporary_directories(tmp_path):
    for name, age in ((".features.0123abcd", 7200), (".features.4567abcd", 0), (".other", 7200)):
        (tmp_path / name).mkdir()
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    write_feature_set(tmp_path / "features", **ARRAYS)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"features", ".features.4567abcd", ".other"}


def test_the_streams_keep_their_names_and_order(tmp_path):
    times = np.arange(9.0).reshape(3, 3)
    present = np.array([[True], [False], [True]])
    streams = {
        "pose": StreamValues(values=DYNAMIC, mask=present),
        "audio": StreamValues(values=STATIC, seconds=times),
        "static": StreamValues(values=STATIC, seconds=times + 1),
    }
    features_dir = tmp_path / "features"
    write_feature_set(features_dir, streams=streams, clips=CLIPS)
    loaded = load_feature_set(features_dir)
    assert list(loaded.streams) == loaded.metadata["streams"] == ["pose", "audio", "static"]
    assert loaded.streams["pose"].is_absent.tolist() == [False, True, False]
    assert loaded.seconds["static"].read(np.arange(3)).tolist() == (times + 1).tolist()
    assert not (features_dir / "seconds.npy").exists()


def test_times_that_all_sequences_share_are_written_once(tmp_path):
    times = np.arange(9.0).reshape(3, 3)
    streams = {
        "audio": StreamValues(values=STATIC, seconds=times),
        "static": StreamValues(values=STATIC, seconds=times),
        "pose": StreamValues(values=DYNAMIC),
    }
    write_feature_set(tmp_path / "features", streams=streams, clips=CLIPS)
    written = {path.name for path in (tmp_path / "features").glob("*seconds.npy")}
    assert written == {"seconds.npy"}
    assert list(load_feature_set(tmp_path / "features").seconds) == ["audio", "static"]


def test_other_traits_are_written_with_their_names(tmp_path):
    metadata = {"traits": [{"name": "warmth"}, {"name": "humour"}]}
    arrays = {**ARRAYS, "labels": LABELS[:, :2], "metadata": metadata}
    write_feature_set(tmp_path / "features", **arrays)
    assert load_feature_set(tmp_path / "features").trait_names == ("warmth", "humour")
