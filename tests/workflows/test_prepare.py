"""`prepare` joins streams, annotations and groups by clip id."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.traits import TRAITS
from pipeline.data.feature_set import FeatureSet, load_feature_set
from pipeline.data.groups import describe_groups
from pipeline.data.readers.annotations import read_labels
from pipeline.data.readers.label_table import LabelOptions
from pipeline.data.readers.stream_source import open_stream
from pipeline.workflows.prepare import PreparedSummary, prepare_feature_set

IDS = ["v1.003", "v0.000", "v1.002", "v0.001"]

Prepare = Callable[..., PreparedSummary]


def frames_of(first: float, *, num_frames: int = 4) -> str:
    """Return a table of frames with the values `first`, `first + 1`, ... in the column a."""
    rows = [f"{row},{first + row},{first}" for row in range(num_frames)]
    return "\n".join(["seconds,a,b", *rows]) + "\n"


def scores_of(clips: Mapping[str, float], **columns: list[str]) -> str:
    """Return a label table with the same score for all traits of a clip."""
    scores = np.tile(np.array(list(clips.values()))[:, np.newaxis], len(TRAITS))
    table = pd.DataFrame(scores, index=pd.Index(clips, name="clip_id"), columns=list(TRAITS))
    return table.assign(**columns).to_csv()


SCORES = {clip: (number + 1) / 10 for number, clip in enumerate(IDS)}


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Return a function that writes files and prepares them in the directory `out`."""
    monkeypatch.chdir(tmp_path)

    def prepare(
        files: Mapping[str, Any],
        streams: Mapping[str, str],
        *,
        annotations: tuple[str, ...] = (),
        num_steps: int | None = 2,
        clips: str = "",
        label_options: Mapping[str, str] | None = None,
        **options: Any,
    ) -> PreparedSummary:
        for name, content in files.items():
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            elif isinstance(content, dict):
                np.savez(path, **content)
            else:
                np.save(path, content)
        paths = list(map(Path, annotations))
        return prepare_feature_set(
            [open_stream(name, Path(path), num_steps=num_steps) for name, path in streams.items()],
            Path("out"),
            labels=read_labels(paths, LabelOptions.parse(**(label_options or {})))
            if paths
            else None,
            annotations=paths,
            clips=Path(clips) if clips else None,
            **options,
        )

    return prepare


def read(features: FeatureSet, stream: str) -> list[Any]:
    return features.streams[stream].read(np.arange(features.num_clips)).tolist()


FOLDER = {f"face/{clip}.csv": frames_of(number) for number, clip in enumerate(sorted(IDS))}
"""A folder of tables. The values of the clips begin with 0, 1, 2 and 3."""


@pytest.mark.parametrize("suffix", ["", ".mp4", ".avi"])
def test_a_folder_of_tables_is_joined_with_annotations_by_id(prepare, suffix):
    table = scores_of({f"{clip}{suffix}": score for clip, score in SCORES.items()})
    summary = prepare({**FOLDER, "l.csv": table}, {"static": "face"}, annotations=("l.csv",))
    assert (summary.num_clips, summary.num_dropped, summary.num_unmatched) == (4, 0, 0)
    features = load_feature_set(Path("out"))
    assert features.clip_ids.tolist() == sorted(IDS)
    np.testing.assert_allclose(features.checked_labels()[:, 2], [0.2, 0.4, 0.3, 0.1])
    assert [clip[0] for clip in read(features, "static")] == [
        [0.5, 0],
        [1.5, 1],
        [2.5, 2],
        [3.5, 3],
    ]
    assert not Path("out/unmatched.csv").exists()


def test_one_array_is_joined_by_the_order_of_the_clip_table(prepare):
    files = {
        "face.npy": np.arange(8, dtype=np.float32).reshape(4, 2),
        "c.csv": "clip_id,age\n" + "".join(f"{clip},{row}\n" for row, clip in enumerate(IDS)),
        "l.csv": scores_of(SCORES),
    }
    prepare(files, {"static": "face.npy"}, annotations=("l.csv",), clips="c.csv", num_steps=None)
    features = load_feature_set(Path("out"))
    assert features.clip_ids.tolist() == IDS
    assert read(features, "static") == [[0, 1], [2, 3], [4, 5], [6, 7]]
    np.testing.assert_allclose(features.checked_labels()[:, 0], [0.1, 0.2, 0.3, 0.4])
    assert features.clips["group"].tolist() == ["v1", "v0", "v1", "v0"]
    assert features.clips["age"].tolist() == ["0", "1", "2", "3"]


def test_files_beside_one_array_are_kept(prepare):
    mask = np.array([[True, False, False], [True] * 3, [True] * 3, [True, True, False]])
    seconds = np.arange(12, dtype=np.float32).reshape(4, 3)
    files = {
        "in/static.npy": np.ones((4, 3, 2), dtype=np.float32),
        "in/static_mask.npy": mask,
        "in/seconds.npy": seconds,
        "in/features.json": '{"encoder": "hog", "settings": {"a": 1}, "other": 2}',
        "c.csv": "clip_id\n" + "\n".join(IDS),
        "l.csv": scores_of({IDS[0]: 0.5, IDS[3]: 0.25}),
    }
    summary = prepare(
        files,
        {"static": "in/static.npy"},
        annotations=("l.csv",),
        clips="c.csv",
        num_steps=None,
        allow_unlabelled=True,
    )
    assert (summary.num_clips, summary.num_dropped) == (2, 2)
    features = load_feature_set(Path("out"))
    rows = np.arange(2)
    np.testing.assert_array_equal(features.streams["static"].read_mask(rows), mask[[0, 3]])
    np.testing.assert_array_equal(features.seconds["static"].read(rows), seconds[[0, 3]])
    assert features.encoder == "hog"
    assert features.metadata["settings"] == {"a": 1}
    assert "other" not in features.metadata


def test_an_archive_and_a_folder_are_joined_by_id(prepare):
    archive = {clip: np.full((3, 2), number) for number, clip in enumerate(IDS)}
    prepare({**FOLDER, "motion.npz": archive}, {"static": "face", "dynamic": "motion.npz"})
    features = load_feature_set(Path("out"))
    assert features.clip_ids.tolist() == sorted(IDS)
    assert [clip[0][0] for clip in read(features, "dynamic")] == [1, 3, 2, 0]


def test_the_clip_table_selects_and_orders_the_clips_of_a_folder(prepare):
    lines: list[str] = []
    table = "clip_id\nv1.002.mp4\nv0.000.mp4\n"
    summary = prepare({**FOLDER, "c.csv": table}, {"static": "face"}, clips="c.csv",
                      report=lines.append)  # fmt: skip
    features = load_feature_set(Path("out"))
    assert features.clip_ids.tolist() == ["v1.002.mp4", "v0.000.mp4"]
    assert [clip[0][0] for clip in read(features, "static")] == [2.5, 0.5]
    assert "2 of 2 clips; other clips not used: 2." in lines[0]
    assert summary.num_unmatched == 2


TWO = {
    **{f"face/{clip}.csv": frames_of(1) for clip in "abc"},
    **{f"motion/{clip}.csv": frames_of(2) for clip in "bcd"},
}
STREAMS = {"static": "face", "dynamic": "motion"}


def test_clips_without_a_stream_are_an_error_by_default(prepare):
    with pytest.raises(PipelineError, match=r"face: 1 of 4 clips have no stream static.*'d'"):
        prepare(TWO, STREAMS)


def test_clips_without_a_stream_are_dropped_on_request(prepare):
    summary = prepare(TWO, STREAMS, missing_streams="drop")
    features = load_feature_set(Path("out"))
    assert features.clip_ids.tolist() == ["b", "c"]
    assert (summary.num_dropped, summary.num_unmatched) == (2, 2)
    assert not list(Path("out").glob("*_mask.npy"))


def test_clips_without_a_stream_are_masked_on_request(prepare):
    prepare(TWO, STREAMS, missing_streams="mask")
    features = load_feature_set(Path("out"))
    assert features.clip_ids.tolist() == ["a", "b", "c", "d"]
    masks = {name: np.load(f"out/{name}_mask.npy")[:, 0].tolist() for name in STREAMS}
    assert masks == {
        "static": [True, True, True, False],
        "dynamic": [False, True, True, True],
    }


def test_a_clip_without_a_valid_frame_lacks_its_stream(prepare):
    files = {**TWO, "face/a.csv": "seconds,a,b\n0,,1\n1,2,nan\n", "motion/a.csv": frames_of(2)}
    del files["motion/d.csv"]
    with pytest.raises(PipelineError, match=r"face: 1 of 3 clips .*'a', which has no valid frame"):
        prepare(files, STREAMS)
    assert prepare({}, STREAMS, missing_streams="drop").num_clips == 2
    assert load_feature_set(Path("out")).clip_ids.tolist() == ["b", "c"]


def test_masks_and_seconds_of_the_steps_are_written(prepare):
    files = {"face/a.csv": "seconds,a\n0,1\n1,2\n2,\n3,\n", "face/b.csv": frames_of(1)}
    files["face/b.csv"] = "seconds,a\n0,1\n1,2\n2,5\n3,6\n"
    prepare(files, {"static": "face"})
    assert np.load("out/static_mask.npy").tolist() == [[True, False], [True, True]]
    assert np.load("out/seconds.npy").tolist() == [[1, 3], [1, 3]]
    assert np.load("out/static.npy").tolist() == [[[1.5], [0]], [[1.5], [5.5]]]


def test_the_counts_of_clips_and_frames_are_reported_and_recorded(prepare):
    lines: list[str] = []
    files = {
        **{f"face/{clip}.csv": frames_of(1) for clip in "abc"},
        "face/c.csv": "seconds,a,b\n0,,1\n1,2,3\n",
        "face/notes.parquet": "not read",
        "l.csv": scores_of({"a": 0.1, "b": 0.2, "c": 0.2, "x": 0.3, "y": 0.4}),
    }
    prepare(files, {"static": "face"}, annotations=("l.csv",), report=lines.append)
    assert lines == [
        "static: face, table of numbers: 3 of 3 clips; other files not read: 1 .parquet.",
        "annotations: 3 of 3 clips; 2 annotated clips have no features.",
        describe_groups(3, 3),
        "static: 2 x 2 values per clip; 10 frames read, 1 masked, 0 clips without a valid frame.",
    ]
    metadata = load_feature_set(Path("out")).metadata
    assert metadata["sources"]["static"] == {
        "path": "face",
        "format": "table of numbers",
        "columns": ["a", "b"],
        "num_frames": 10,
        "num_masked": 1,
        "empty_clips": [],
    }
    assert list(metadata["annotations"]) == ["l.csv"]


def test_unmatched_names_are_listed_with_the_nearest_name(prepare):
    files = {
        **TWO,
        "l.csv": scores_of({"B": 0.1, "c": 0.2, "video_z": 0.3}),
    }
    with pytest.raises(PipelineError, match=r"l\.csv: 1 of 2 clips .*'b'.*unmatched\.csv"):
        prepare({**files, "c.csv": "clip_id\nb\nc\n"}, STREAMS, annotations=("l.csv",),
                clips="c.csv")  # fmt: skip
    table = pd.read_csv("out/unmatched.csv", keep_default_na=False)
    assert table.to_numpy().tolist() == [
        ["a", "the stream static", ""],
        ["d", "the stream dynamic", ""],
        ["b", "c.csv", "B"],
        ["B", "l.csv", "b"],
        ["video_z", "l.csv", ""],
    ]


def test_a_second_call_works_after_a_failure(prepare):
    files = {**FOLDER, "l.csv": scores_of(dict.fromkeys(IDS[:3], 0.5))}
    with pytest.raises(PipelineError, match="1 of 4 clips have no annotation"):
        prepare(files, {"static": "face"}, annotations=("l.csv",))
    assert [path.name for path in Path("out").iterdir()] == ["unmatched.csv"]
    prepare({"l.csv": scores_of(SCORES)}, {"static": "face"}, annotations=("l.csv",))
    assert load_feature_set(Path("out")).num_clips == 4
    assert not Path("out/unmatched.csv").exists()
    with pytest.raises(PipelineError, match="out: exists already"):
        prepare({}, {"static": "face"})


def test_unmatched_names_are_listed_beside_the_feature_set(prepare):
    files = {**FOLDER, "l.csv": scores_of({**SCORES, "x": 0.5})}
    summary = prepare(files, {"static": "face"}, annotations=("l.csv",))
    assert summary.num_unmatched == 1
    assert pd.read_csv("out/unmatched.csv")["clip_id"].tolist() == ["x"]
    assert load_feature_set(Path("out")).num_clips == 4


@pytest.mark.parametrize(
    ("options", "columns", "expected"),
    [
        ({}, {}, ["v0", "v0", "v1", "v1"]),
        ({}, {"labels": ["p", "q", "r", "s"]}, ["q", "s", "r", "p"]),
        ({}, {"labels": ["p"] * 4, "clips": ["m", "m", "n", "n"]}, ["m", "n", "n", "m"]),
        ({"groups": "regex:\\d$"}, {"labels": ["p"] * 4, "clips": ["m"] * 4}, ["0", "1", "2", "3"]),
        ({"groups": "people.csv"}, {"labels": ["p"] * 4, "clips": ["m"] * 4}, ["z", "x", "x", "z"]),
    ],
    ids=["names", "annotations", "clip table", "rule", "table"],
)
def test_groups_come_from_the_option_or_the_clip_table_or_the_annotations(
    prepare, options, columns, expected
):
    labels = {"group": columns["labels"]} if "labels" in columns else {}
    files = {
        **FOLDER,
        "l.csv": scores_of(SCORES, **labels),
        "people.csv": "name;group\nv0.000.mp4;z\nv0.001;x\nv1.002;x\nv1.003;z\n",
    }
    clips = ""
    if "clips" in columns:
        files["c.csv"] = "clip_id,group\n" + "".join(
            f"{clip},{group}\n"
            for clip, group in zip(
                sorted(IDS), np.array(columns["clips"])[[0, 2, 3, 1]], strict=True
            )
        )
        clips = "c.csv"
    prepare(files, {"static": "face"}, annotations=("l.csv",), clips=clips, **options)
    assert load_feature_set(Path("out")).groups.tolist() == expected


def test_the_folders_of_a_stream_are_the_groups(prepare):
    files = {f"face/{clip}.csv": frames_of(1) for clip in ("anna/1", "anna/2", "ben/3", "ben/4")}
    lines: list[str] = []
    prepare(files, {"static": "face"}, report=lines.append)
    features = load_feature_set(Path("out"))
    assert features.clip_ids.tolist() == ["1", "2", "3", "4"]
    assert features.groups.tolist() == ["anna", "anna", "ben", "ben"]
    assert "4 clips in 2 groups. The groups are the folders" in lines[1]


def test_several_annotation_files_become_the_split(prepare):
    files = {
        **FOLDER,
        "gt_training.csv": scores_of({"v0.000": 0.1, "v0.001": 0.2}),
        "gt_test.csv": scores_of({"v1.002": 0.3, "v1.003": 0.4}),
    }
    prepare(files, {"static": "face"}, annotations=("gt_training.csv", "gt_test.csv"))
    features = load_feature_set(Path("out"))
    assert features.clips["split"].tolist() == ["train", "train", "test", "test"]


def test_a_column_of_the_annotations_becomes_the_split(prepare):
    table = scores_of(SCORES, Subset=["Test", "Training", "Test", "Dev"])
    prepare({**FOLDER, "l.csv": table}, {"static": "face"}, annotations=("l.csv",))
    features = load_feature_set(Path("out"))
    assert features.clips["split"].tolist() == ["train", "validation", "test", "test"]


def test_range_and_reversed_traits_are_recorded(prepare):
    table = "vlogId Extr Agr Cons Emot Open\n" + "".join(
        f"{clip} 1 7 4 {number + 2} 2.5\n" for number, clip in enumerate(sorted(IDS))
    )
    summary = prepare(
        {**FOLDER, "l.txt": table},
        {"static": "face"},
        annotations=("l.txt",),
        label_options={"label_range": "1,7", "reverse": "openness"},
    )
    features = load_feature_set(Path("out"))
    np.testing.assert_allclose(
        features.checked_labels()[0], [1 - 0.25, 0.5, 0, 1, 1 / 6], rtol=1e-6
    )
    assert features.traits == summary.traits
    by_name = {trait.name: trait for trait in features.traits}
    assert {trait.label_range for trait in features.traits} == {(1, 7)}
    assert [name for name, trait in by_name.items() if trait.is_reversed] == [
        "openness",
        "neuroticism",
    ]
    assert "emotional stability" in by_name["neuroticism"].note


def test_other_traits_are_read_on_request(prepare):
    scores = pd.DataFrame({"clip_id": IDS, "interview": [0.1, 0.2, 0.3, 0.4], "extraversion": 0.5})
    prepare(
        {**FOLDER, "l.csv": scores.to_csv(index=False)},
        {"static": "face"},
        annotations=("l.csv",),
        label_options={"traits": "extraversion,interview"},
    )
    features = load_feature_set(Path("out"))
    assert features.trait_names == ("extraversion", "interview")
    np.testing.assert_allclose(features.checked_labels()[:, 1], [0.2, 0.4, 0.3, 0.1])


@pytest.mark.parametrize(
    "odd", ["{} ", "\u00a0{}", "{}\u200b", "\ufeff{}"], ids=["blank", "nbsp", "zero width", "bom"]
)
def test_invisible_characters_of_ids_are_ignored(prepare, odd):
    table = scores_of({odd.format(clip): score for clip, score in SCORES.items()})
    summary = prepare({**FOLDER, "l.csv": table}, {"static": "face"}, annotations=("l.csv",))
    assert (summary.num_clips, summary.num_unmatched) == (4, 0)


ARRAY = {"face.npy": np.ones((4, 2), dtype=np.float32)}
LABELLED = {**FOLDER, "l.csv": scores_of(SCORES)}


@pytest.mark.parametrize(
    ("files", "streams", "options", "words"),
    [
        ({}, {}, {}, ("No stream is given", "--stream NAME=PATH")),
        (FOLDER, {"labels": "face"}, {}, ("--stream labels=", "must not be labels", "Rename")),
        (FOLDER, {"a_mask": "face"}, {}, ("--stream a_mask=", "must not end with _mask")),
        (ARRAY, {"static": "face.npy"}, {"num_steps": None},
         ("face.npy: contains no clip ids", "--clips FILE.csv")),
        ({**ARRAY, "c.csv": "clip_id\na\nb\n"}, {"static": "face.npy"},
         {"num_steps": None, "clips": "c.csv"},
         ("face.npy: has 4 rows", "c.csv has 2 clips", "--clips")),
        ({**FOLDER, "motion/x.csv": frames_of(1)}, STREAMS, {"missing_streams": "mask"},
         ("motion: has no clip of the stream static", "'v0.000'", "unmatched.csv")),
        ({**FOLDER, "c.csv": "clip_id\nV0.000.mp4\n"}, {"static": "face"}, {"clips": "c.csv"},
         ("face: has no clip of c.csv", "'V0.000.mp4'; the most similar name is 'v0.000'")),
        (TWO, STREAMS, {}, ("face: 1 of 4", "stream static", "'d'", "--missing_streams drop")),
        ({**FOLDER, "l.csv": scores_of({"v0.000": 0.5})}, {"static": "face"},
         {"annotations": ("l.csv",)},
         ("l.csv: 3 of 4 clips have no annotation", "'v0.001'", "--allow_unlabelled true")),
        ({**FOLDER, "l.csv": scores_of({"other": 0.5})}, {"static": "face"},
         {"annotations": ("l.csv",), "allow_unlabelled": True},
         ("l.csv: 4 of 4 clips have no annotation", "no name is similar", "--id_column")),
        ({**TWO, "l.csv": scores_of({"a": 0.5, "d": 0.5})}, STREAMS,
         {"annotations": ("l.csv",), "allow_unlabelled": True, "missing_streams": "drop"},
         ("No clip has all of static, dynamic and an annotation", "unmatched.csv")),
        ({**LABELLED, "g.csv": "clip_id,group\nv0.000,p\n"}, {"static": "face"},
         {"groups": "g.csv"}, ("--groups g.csv: 3 of 4 clips have no group", "'v0.001'")),
        ({**FOLDER, "l.csv": scores_of(SCORES, group=["p", "", "q", "q"])}, {"static": "face"},
         {"annotations": ("l.csv",)}, ("l.csv: the clip 'v0.000' has a blank group", "--groups")),
        ({**FOLDER, "c.csv": "clip_id,split\nv0.000,dev\n"}, {"static": "face"},
         {"clips": "c.csv"}, ("c.csv: row 0 (clip v0.000) has split 'dev'", "Rename")),
        ({**FOLDER, "face/v0.001.csv": "seconds,a,c\n0,1,2\n"}, {"static": "face"}, {},
         ("face/v0.001.csv: has other columns", "--columns static=")),
        ({**FOLDER, "face/v0.001.csv": "seconds,a,b\n0,1,2\n1,x,2\n"}, {"static": "face"}, {},
         ("face/v0.001.csv: line 3 has a 'x'", "--columns static=")),
        ({f"face/a.{name}.csv": frames_of(1) for name in ("mp4", "avi")} | LABELLED,
         {"static": "face"}, {"annotations": ("l.csv",)}, ("'a.avi' and 'a.mp4'", "same clip")),
    ],
)  # fmt: skip
def test_input_that_does_not_fit_is_an_error(prepare, files, streams, options, words):
    with pytest.raises(PipelineError) as caught:
        prepare(files, streams, **options)
    assert re.search(".*".join(map(re.escape, words)), str(caught.value)), caught.value
    assert str(caught.value)[-1] in ".?"
    assert {path.name for path in Path().glob("out/*")} <= {"unmatched.csv"}


def test_the_description_of_a_set_of_tables_contains_format_and_columns(prepare):
    prepare(FOLDER, {"static": "face"})
    assert json.loads(Path("out/features.json").read_text())["encoder"] == {
        "static": {"format": "table of numbers", "columns": ["a", "b"], "resample": "mean"}
    }
