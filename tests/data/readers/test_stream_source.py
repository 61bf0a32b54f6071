import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rich.progress

from pipeline.core.errors import FeatureSetError
from pipeline.data.readers.stream_source import DEFAULT_NUM_STEPS, open_stream

ONE = "seconds,a,b\n0,1,2\n1,3,4\n2,5,6\n3,7,8\n"
TWO = "seconds,a,b\n0,1,\n1,3,4\n"


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes files by name below a folder."""

    def write(files: dict[str, str], folder: str = "features") -> Path:
        for name, content in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return tmp_path / folder

    return write


def test_a_folder_of_tables_becomes_one_array(write):
    source = open_stream("face", write({"x.1.csv": ONE, "y.mp4.csv": TWO}), num_steps=2)
    assert source.clip_ids == ("x.1", "y.mp4")
    assert source.description == "table of numbers"
    found = source.read_all()
    assert found.values.tolist() == [[[2, 3], [6, 7]], [[0, 0], [3, 4]]]
    assert found.mask.tolist() == [[True, True], [False, True]]
    assert found.seconds.tolist() == [[1, 3], [0.5, 1.5]]
    assert found.columns == ("a", "b")
    assert (found.num_frames, found.num_masked, found.empty_clips) == (6, 1, ())
    assert found.values.dtype == found.seconds.dtype == np.float32
    assert open_stream("face", source.path).read_all().values.shape == (2, DEFAULT_NUM_STEPS, 2)


def test_clips_are_read_in_the_requested_order(write):
    names = [f"clip{number:03d}" for number in range(40)]
    folder = write({f"{name}.csv": f"a\n{row}\n{row}\n" for row, name in enumerate(names)})
    source = open_stream("face", folder, num_steps=1)
    found = source.read_all(names[30:0:-3])
    assert found.values.ravel().tolist() == list(range(30, 0, -3))
    with pytest.raises(FeatureSetError, match=r"no clip 'clip40'.*Did you mean 'clip04'|'clip0"):
        source.read_all(["clip40"])
    with pytest.raises(FeatureSetError, match="has no clip"):
        source.read_all([])


def test_the_progress_display_gets_a_task_with_the_name_of_the_stream(write):
    progress = rich.progress.Progress(disable=True)
    open_stream("face", write({"a.csv": ONE, "b.csv": ONE})).read_all(progress=progress)
    (task,) = progress.tasks
    assert (task.description, task.completed, task.total) == ("face", 2, 2)


def test_values_are_in_a_temporary_file_without_a_name(write, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = open_stream("face", write({"a.csv": ONE})).read_all(scratch_dir=scratch)
    assert isinstance(found.values, np.memmap)
    assert list(scratch.iterdir()) == []
    assert np.isfinite(found.values).all()


@pytest.mark.parametrize(
    ("names", "ids", "folders"),
    [
        (["a.csv", "b.csv"], ("a", "b"), ("", "")),
        (["anna/1.csv", "anna/2.csv", "ben/3.csv"], ("1", "2", "3"), ("anna", "anna", "ben")),
        (["anna/1.csv", "ben/1.csv", "c.csv"], ("c", "anna/1", "ben/1"), ("", "anna", "ben")),
        (["-A.001.csv", "-A.002.csv"], ("-A.001", "-A.002"), ("", "")),
        ([".hidden.csv", ".cache/a.csv", "b.csv"], ("b",), ("",)),
    ],
    ids=range(5),
)
def test_ids_are_file_names_and_folders_are_kept(write, names, ids, folders):
    source = open_stream("face", write(dict.fromkeys(names, ONE)))
    assert source.clip_ids == ids
    assert source.clip_folders == folders


def test_only_the_most_frequent_type_is_read(write):
    files = {"a.csv": ONE, "a_of_details.txt": "Input:a.mp4", "b.csv": ONE, "c.tsv": "a\n1"}
    folder = write({**files, "b_of_details.txt": "Input:b.mp4", "more.txt": "x", "a.avi": ""})
    source = open_stream("face", folder)
    assert source.clip_ids == ("a", "b")
    assert [path.suffix for path in source.unused] == [".avi", ".txt", ".txt", ".tsv", ".txt"]


def test_a_link_that_makes_a_loop_is_followed_once(write):
    folder = write({"anna/1.csv": ONE})
    (folder / "anna" / "again").symlink_to(folder)
    assert open_stream("face", folder).clip_ids == ("1",)


ALL_FRAMES = "clip_id;time;a\nv/x.wav;0;1,5\ny;0;5\nv/x.wav;1;2,5\ny;1;6\n"


def test_one_table_has_the_rows_of_all_clips_in_any_order(write):
    path = write({"all.csv": ALL_FRAMES}) / "all.csv"
    source = open_stream("face", path, num_steps=2)
    assert source.description == "table of numbers, one file"
    assert source.clip_ids == ("x", "y")
    assert source.clip_folders == ("v", "")
    found = source.read_all(["y", "x"])
    assert found.values.tolist() == [[[5], [6]], [[1.5], [2.5]]]
    assert found.seconds.tolist() == [[0.5, 1.5], [0.5, 1.5]]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_one_row_per_clip_is_a_vector(tmp_path, suffix):
    path = tmp_path / f"all{suffix}"
    table = pd.DataFrame({"Person": ["001", "002"], "a": [1.5, 2.5], "Openness": [0.25, 0.75]})
    if suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False)
    source = open_stream("face", path, id_column="Person")
    assert source.clip_ids == ("001", "002")
    found = source.read_all()
    assert found.values.tolist() == [[1.5], [2.5]]  # labels are no features
    assert found.mask.tolist() == [[True], [True]]
    assert found.seconds is None


def test_tables_of_subsets_have_rows_of_many_clips(write):
    files = {"test.csv": "video,a\nx.mp4,1\ny.mp4,2\n", "train.csv": "video,a\nz.mp4,3\n"}
    source = open_stream("face", write(files))
    assert source.description == "table of numbers, 2 files"
    assert source.clip_ids == ("x.mp4", "y.mp4", "z.mp4")
    assert source.read_all().values.tolist() == [[1], [2], [3]]


def test_functionals_of_opensmile_are_vectors_by_file_name(write):
    lines = [
        "file,start,end,loudness_sma3_amean,mfcc1_sma3_amean",
        "/data/anna/a.wav,0 days,0 days 00:00:02,47.987038,0.5",
        "/data/ben/b.wav,0 days,0 days 00:00:02,35.978535,0.25",
    ]
    source = open_stream("audio", write({"all.csv": "\n".join(lines)}) / "all.csv")
    assert source.description == "openSMILE, one file"
    assert source.clip_ids == ("a", "b")
    np.testing.assert_allclose(source.read_all().values, [[47.987038, 0.5], [35.978535, 0.25]])


@pytest.mark.parametrize(
    ("files", "settings", "message"),
    [
        ({"a.csv": ONE, "b.csv": "seconds,a,c\n0,1,2\n"}, {}, r"b\.csv: has other columns than"),
        (
            {"a.csv": ONE, "b.csv": "seconds,a\n0,1\n"},
            *({}, r"b\.csv: has other columns .*'b' is in a\.csv and not in b\.csv.*--columns f"),
        ),
        (
            {"a.csv": ONE, "b.csv": "seconds,a\n0,1\n"},
            *({"columns": ["a", "b"]}, r"b\.csv: has no column 'b'.*--columns face="),
        ),
        ({"a.csv": ONE}, {"columns": ["c"]}, r"a\.csv: has no column 'c'.*--columns face='…'"),
        ({"a.csv": ONE}, {"format": "openfac"}, r"--format face=FORMAT.*Did you mean 'openface'"),
        ({"a.csv": ONE}, {"format": "openface"}, r"a\.csv: has none of the columns AU\*_r"),
        ({"a.csv": ONE, "b.csv": "seconds,a,b\n0,1,x\n"}, {}, r"b\.csv: line 2 has b 'x'"),
        ({"a.csv": ONE, "b.csv": "seconds,a,b\n"}, {}, r"b\.csv: has no rows"),
        ({"a.csv": "a,b\n1,2\n", "b.csv": "a,b\n1,2\n1,2\n"}, {}, r"b\.csv: has shape \(2, 2\)"),
        (
            {"a.csv": "clip_id,a\nx,1\n", "b.csv": "clip_id,a\nx,1\ny,2\n"},
            *({}, r"b\.csv: has rows of 2 clips, such as 'x' and 'y'.*--stream face="),
        ),
        (
            {"a.csv": "clip_id,a\nx,1\ny,2\n", "b.csv": "clip_id,a\ny,3\n"},
            *({}, r"b\.csv: clip 'y': is also in .*a\.csv: clip 'y'"),
        ),
        ({"a.csv": "a,b\n1,\n2,\n"}, {}, r"a\.csv: has no valid frame \(the column 'b' has no num"),
        ({"a.csv": ONE}, {"num_steps": 0}, "--num_steps is 0"),
        ({"a.mp4": ""}, {}, r"contains no feature file \(.*found 1 \.mp4.*--stream face=PATH"),
        ({"x\u200b.csv": ONE, "x.csv": ONE}, {}, "give the same clip id"),
    ],
    ids=range(15),
)  # fmt: skip
def test_a_wrong_folder_is_an_error_with_the_file_and_the_flag(write, files, settings, message):
    with pytest.raises(FeatureSetError, match=message):
        open_stream("face", write(files), **settings).read_all()


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("a,b\n1,2\n", {}, r"all\.csv: has no column with clip ids .*--id_column NAME"),
        ("id,a\nx.wav,1\nx.mp3,2\n", {}, r"all\.csv: 2 clips have the id 'x'"),
        ("id,a\nx,1\n,2\n", {}, r"all\.csv: a clip id is blank"),
        ("id,note\nx,p\ny,q\n", {}, r"all\.csv: has none of the columns \*; found id, note"),
    ],
    ids=range(4),
)
def test_a_wrong_table_of_all_clips_is_an_error(write, content, settings, message):
    with pytest.raises(FeatureSetError, match=message):
        open_stream("face", write({"all.csv": content}) / "all.csv", **settings)


def test_a_missing_path_is_an_error_with_the_nearest_name(write):
    folder = write({"a.csv": ONE})
    with pytest.raises(FeatureSetError, match=r"Correct --stream face=PATH\. Did you mean .*feat"):
        open_stream("face", folder.with_name("feature"))


@pytest.mark.skipif(os.name != "posix", reason="a limit on file sizes is a feature of POSIX")
def test_a_full_disk_is_an_error_with_the_directory(write, tmp_path):
    import resource
    import signal

    folder = write({"a.csv": ONE})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match=str(tmp_path)) as caught:
            open_stream("face", folder).read_all(scratch_dir=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "face" in str(caught.value)


def test_one_folder_of_real_tables_feeds_two_streams(shared_data, tmp_path):
    table = (shared_data / "foreign" / "openface_a.csv").read_text(encoding="utf-8")
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(table, encoding="utf-8")
    static = open_stream("static", tmp_path, columns=["AU*_r"]).read_all()
    dynamic = open_stream("dynamic", tmp_path, columns=["gaze_*", "pose_*"], num_steps=4).read_all()
    assert static.values.shape == (2, 16, 17)
    assert dynamic.values.shape == (2, 4, 12)
    expected = pd.read_csv(shared_data / "foreign" / "openface_a.csv", skipinitialspace=True)
    units = expected[list(static.columns)].to_numpy()
    # 100 frames in 16 windows of 6.25 frames; the first has the frames 0 to 5.
    np.testing.assert_allclose(static.values[0, 0], units[:6].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(static.values[1, 15], units[94:].mean(axis=0), rtol=1e-5)
    assert static.mask.all()
