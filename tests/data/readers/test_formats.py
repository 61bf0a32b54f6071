"""The tables of each tool. The rows of openSMILE are real output, cut to a few columns."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.frames import Frames
from pipeline.data.readers.formats import FORMATS, choose_columns, find_format
from pipeline.data.readers.stream_source import open_stream

NAN = float("nan")

OPENFACE = """\
frame, face_id, timestamp, confidence, success, gaze_angle_x, pose_Tx, pose_Rx, x_0, AU01_r, AU01_c
1, 0, 0.000, 0.98, 1, 0.1, 10, 0.5, 300, 1.5, 1
2, 0, 0.033, 0.98, 0, 0, 0, 0, 0, 0, 0
3, 0, 0.067, 0.49, 1, 0.2, 20, 0.6, 301, 2.5, 0
4, 0, 0.100, 0.50, 1, 0.3, 30, 0.7, 302, 3.5, 1
"""

TWO_FACES = """\
frame,face_id,timestamp,confidence,success,AU01_r,AU01_c
1,0,0.0,0.9,1,1,0
1,3,0.0,0.9,1,5,1
2,0,0.1,0.2,0,2,0
2,3,0.1,0.9,1,6,1
"""

# The left face is at first the second row. The face in frame 2 is larger but passes by.
PYFEAT = """\
frame,FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,AU01,Pitch,anger,Happy,input
0,200,0,50,50,0.9,0.9,9,0.9,0.9,a.mp4
0,0,0,100,100,0.9,0.1,1,0.5,0.25,a.mp4
2,5,0,100,100,0.9,0.2,2,0.5,0.25,a.mp4
2,300,0,150,150,0.9,0.8,8,0.9,0.9,a.mp4
2,205,0,50,50,0.9,0.7,7,0.9,0.9,a.mp4
4,10,0,100,100,0.9,0.3,3,0.5,0.25,a.mp4
6,,,,,,,,,,a.mp4
"""

LLD = """\
frameTime;Loudness_sma3;F0semitoneFrom27.5Hz_sma3nz
0.000000;1.029719e+00;4.798771e+01
0.010000;1.054747e+00;4.798747e+01
"""

FUNCTIONALS = """\
name;frameTime;F0semitoneFrom27.5Hz_sma3nz_amean;loudness_sma3_amean
'a';0.000000;3.597853e+01;7.628662e-01
"""

PYTHON_LLD = """\
file,start,end,Loudness_sma3,alphaRatio_sma3
/tmp/r/a.wav,0 days 00:00:00.000000,0 days 00:00:00.020000,1.0297194,-30.043259
/tmp/r/a.wav,0 days 00:00:00.010000,0 days 00:00:00.030000,1.0547471,-30.226295
"""

BLENDSHAPE_NAMES = [
    f"{part}{number}{side}"
    for part in ("browDown", "cheekPuff", "eyeBlink", "jawOpen", "mouthSmile", "noseSneer")
    for number in range(4)
    for side in ("Left", "Right")
]


def blendshape_csv() -> str:
    rows = [["timestamp_ms", "_neutral", *BLENDSHAPE_NAMES]]
    rows += [[str(time), *[str(value)] * 49] for time, value in ((0, 0.5), (40, 0.25), (80, ""))]
    return "\n".join(",".join(row) for row in rows)


def blendshape_lines() -> str:
    """Return JSON lines with categories as MediaPipe names them; the last frame has no face."""
    names = ["_neutral", *BLENDSHAPE_NAMES]
    frames = [
        [[{"category_name": name, "score": score, "index": 0} for name in names]]
        for score in (0.5, 0.25)
    ]
    lines = [
        {"timestamp_ms": 40 * number, "face_blendshapes": frame}
        for number, frame in enumerate([*frames, []])
    ]
    return "\n".join(json.dumps(line) for line in lines)


def read(tmp_path: Path, content: str, name: str = "clip.csv", **settings) -> tuple[str, Frames]:
    (tmp_path / name).write_text(content, encoding="utf-8")
    source = open_stream("face", tmp_path, **settings)
    (clip,) = source.clips.values()
    return source.description, clip.read()


@pytest.mark.parametrize(
    ("content", "name", "description", "columns", "values", "valid", "seconds"),
    [
        (
            *(OPENFACE, "clip.csv", "OpenFace"),
            ("gaze_angle_x", "pose_Tx", "pose_Rx", "AU01_r", "AU01_c"),
            [[0.1, 10, 0.5, 1.5, 1], [0] * 5, [0.2, 20, 0.6, 2.5, 0], [0.3, 30, 0.7, 3.5, 1]],
            *([1, 0, 0, 1], [0, 0.033, 0.067, 0.1]),
        ),
        (
            *(TWO_FACES, "clip.csv", "OpenFace", ("AU01_r", "AU01_c")),
            *([[5, 1], [6, 1]], [1, 1], [0, 0.1]),
        ),
        (
            *("AU01_r,AU01_c\n0.5,1\n0.25,0\n", "clip.csv", "OpenFace", ("AU01_r", "AU01_c")),
            *([[0.5, 1], [0.25, 0]], [1, 1], None),
        ),
        (
            *(PYFEAT, "clip.csv", "py-feat", ("AU01", "Pitch", "anger", "Happy")),
            [[0.1, 1, 0.5, 0.25], [0.2, 2, 0.5, 0.25], [0.3, 3, 0.5, 0.25]],
            *([1, 1, 1], None),
        ),
        (
            *(LLD, "clip.csv", "openSMILE", ("Loudness_sma3", "F0semitoneFrom27.5Hz_sma3nz")),
            *([[1.029719, 47.98771], [1.054747, 47.98747]], [1, 1], [0, 0.01]),
        ),
        (
            *(PYTHON_LLD, "clip.csv", "openSMILE", ("Loudness_sma3", "alphaRatio_sma3")),
            *([[1.0297194, -30.043259], [1.0547471, -30.226295]], [1, 1], [0, 0.01]),
        ),
        (
            *(blendshape_csv(), "clip.csv", "MediaPipe blendshapes"),
            ("_neutral", *BLENDSHAPE_NAMES),
            *([[0.5] * 49, [0.25] * 49, [NAN] * 49], [1, 1, 1], [0, 0.04, 0.08]),
        ),
        (
            *(blendshape_lines(), "clip.jsonl", "MediaPipe blendshapes"),
            ("_neutral", *BLENDSHAPE_NAMES),
            *([[0.5] * 49, [0.25] * 49, [NAN] * 49], [1, 1, 1], [0, 0.04, 0.08]),
        ),
        (
            *("time,group,a,note,b\n0,x,1,p,2\n0.5,x,3,q,4\n", "clip.csv", "table of numbers"),
            *(("a", "b"), [[1, 2], [3, 4]], [1, 1], [0, 0.5]),
        ),
        ("1 2\n3 4\n", "clip.txt", "table of numbers", ("0", "1"), [[1, 2], [3, 4]], [1, 1], None),
    ],
    ids=range(10),
)  # fmt: skip
def test_a_format_is_detected_and_read(
    tmp_path, content, name, description, columns, values, valid, seconds
):
    found, frames = read(tmp_path, content, name)
    assert (found, frames.columns) == (description, columns)
    np.testing.assert_allclose(frames.values, np.float32(values), rtol=1e-6)
    assert frames.values.dtype == np.float32
    assert frames.is_valid.tolist() == [bool(each) for each in valid]
    if seconds is None:
        assert frames.seconds is None
    else:
        np.testing.assert_allclose(frames.seconds, seconds)
    assert not frames.is_vector


def test_frame_numbers_and_a_frame_rate_give_seconds(tmp_path):
    _, frames = read(tmp_path, PYFEAT)
    assert frames.frame_numbers.tolist() == [0, 2, 4]
    lines = PYFEAT.splitlines()
    with_rate = "\n".join([f"{lines[0]},FPS", *(f"{line},25" for line in lines[1:])])
    _, frames = read(tmp_path, with_rate)
    np.testing.assert_allclose(frames.seconds, [0, 0.08, 0.16])


def test_functionals_are_one_vector(tmp_path):
    _, frames = read(tmp_path, FUNCTIONALS)
    assert frames.is_vector
    np.testing.assert_allclose(frames.values, [[35.97853, 0.7628662]], rtol=1e-6)


def test_faces_of_openface_without_a_valid_frame_stay_invalid(tmp_path):
    _, frames = read(tmp_path, TWO_FACES.replace(",1,5,1", ",0,5,1").replace(",1,6,1", ",0,6,1"))
    assert frames.values.tolist() == [[1, 0], [2, 0]]  # face 0 has the valid frame
    assert frames.is_valid.tolist() == [True, False]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["AU*_r", "gaze_*"], ("gaze_angle_x", "AU01_r")),
        (["au*_R"], ("AU01_r",)),
        (["x_*"], ("x_0",)),
        (["X_*"], ("X_0",)),
        (["?_0"], ("x_0", "X_0")),
        (["*"], ("gaze_angle_x", "x_0", "X_0", "AU01_r")),
        (["confidence"], ("confidence",)),
    ],
)
def test_patterns_choose_columns_in_the_order_of_the_file(patterns, expected):
    columns = ["confidence", "gaze_angle_x", "x_0", "X_0", "AU01_r"]
    assert choose_columns(columns, patterns, hidden={"confidence"}) == expected


def test_a_pattern_without_a_column_is_an_error_with_the_nearest_name():
    message = r"no column 'AU1_r'.*Did you mean 'AU01_r'\?.*--columns NAME="
    with pytest.raises(FeatureSetError, match=message):
        choose_columns(["AU01_r", "AU02_c"], ["AU*_c", "AU1_r"])
    with pytest.raises(FeatureSetError, match=r"has none of the columns AU\*; found x, y"):
        choose_columns(["x", "y"], ["AU*"], are_optional=True)


def test_a_format_can_be_forced(tmp_path):
    description, frames = read(tmp_path, OPENFACE, format="table")
    assert description == "table of numbers"
    assert "confidence" in frames.columns
    assert frames.is_valid.all()
    with pytest.raises(FeatureSetError, match=r"no format 'openfac'.*Did you mean 'openface'"):
        find_format([], "openfac")
    assert len({each.name for each in FORMATS}) == len(FORMATS)


@pytest.mark.parametrize(
    ("name", "description", "shape", "seconds"),
    [
        ("openface_a", "OpenFace", (100, 41), 0.099),
        ("pyfeat_clip_001", "py-feat", (20, 30), None),
        ("pyfeat_one_frame", "py-feat", (1, 30), None),
    ],
)
def test_a_real_table_has_the_values_that_pandas_reads(
    shared_data, tmp_path, name, description, shape, seconds
):
    path = shared_data / "foreign" / f"{name}.csv"
    found, frames = read(tmp_path, path.read_text(encoding="utf-8"))
    assert (found, frames.values.shape) == (description, shape)
    expected = pd.read_csv(path, skipinitialspace=True)[list(frames.columns)]
    np.testing.assert_allclose(frames.values, expected, rtol=1e-6)
    assert frames.is_valid.all()
    if seconds is not None:
        assert frames.seconds[-1] == pytest.approx(seconds)
