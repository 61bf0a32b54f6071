import builtins
import copyreg
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import AnnotationError
from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, TraitLabel
from pipeline.data.groups import source_group
from pipeline.data.readers import score_pickle
from pipeline.data.readers.annotations import read_labels
from pipeline.data.readers.label_table import LabelOptions
from pipeline.data.readers.score_pickle import read_score_pickle

HEADER = "clip_id,neuroticism,openness,conscientiousness,extraversion,agreeableness,interview\n"
ROW = "a.0,0.5,0.1,0.2,0.3,0.4,0.9\n"
V1_HEADER = (
    "VideoName,ValueExtraversion,ValueAgreeableness,ValueConscientiousness,ValueNeurotisicm,"
    "ValueOpenness\n"
)


PLAIN = tuple(TraitLabel(name=trait) for trait in TRAITS)


def scores(**changes) -> dict:
    """Return scores of two clips for five traits and `interview`, with changes by trait."""
    values = {
        trait: {"-a.001.mp4": number / 10, "b.000.mp4": np.float64(number / 10 + 0.05)}
        for number, trait in enumerate((*TRAITS, "interview"))
    }
    return {**values, **changes}


def rename(content: dict) -> dict:
    return {
        trait: {f"c{clip}": score for clip, score in values.items()}
        for trait, values in content.items()
    }


def without(key: str, **changes) -> dict:
    return {trait: value for trait, value in scores(**changes).items() if trait != key}


@pytest.fixture
def write(tmp_path: Path):
    """Return a function that writes text as CSV and other objects as a pickle."""

    def write(content, name: str = "annotation") -> Path:
        path = tmp_path / f"{name}.{'csv' if isinstance(content, str) else 'pkl'}"
        data = content.encode() if isinstance(content, str) else pickle.dumps(content, protocol=2)
        path.write_bytes(data)
        return path

    return write


def test_a_pickle_gives_a_table_in_ocean_order(write):
    reordered = dict(reversed(scores()["neuroticism"].items()))
    table = read_labels([write(scores(neuroticism=reordered))]).scores
    assert table.index.tolist() == ["-a.001.mp4", "b.000.mp4"]
    assert table.index.name == "clip_id"
    assert tuple(table.columns) == TRAITS
    assert set(table.dtypes) == {np.dtype(np.float64)}
    np.testing.assert_allclose(table.loc["-a.001.mp4"], [0.0, 0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(table.loc["b.000.mp4"], [0.05, 0.15, 0.25, 0.35, 0.45])


@pytest.mark.parametrize(
    ("content", "traits"),
    [(HEADER + ROW, PLAIN), (V1_HEADER + "a.0 ,0.3,0.4,0.2,0.5,0.1\n", FIRST_IMPRESSIONS)],
)
def test_a_csv_is_read_by_column_name(write, content, traits):
    annotations = read_labels([write(content)])
    assert annotations.scores.loc["a.0"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert annotations.traits == traits


@pytest.mark.parametrize(
    "name",
    ["emotional_stability", "Emotional Stability", "emotionally_stable", "stability", "Emot"],
)
def test_a_column_of_emotional_stability_is_reversed_neuroticism(write, name):
    labels = read_labels([write(HEADER.replace("neuroticism", name) + ROW)])
    assert labels.scores.loc["a.0", "neuroticism"] == 0.5
    assert [trait.name for trait in labels.traits if trait.is_reversed] == ["neuroticism"]
    assert name in labels.traits[-1].note


def test_a_pickle_of_emotional_stability_is_an_error(write):
    content = without("neuroticism", emotional_stability={"a": 0.5})
    with pytest.raises(AnnotationError, match=r"opposite ends.*do not change the scores"):
        read_labels([write(content)])


def test_other_traits_are_read_if_they_are_named(write):
    options = LabelOptions.parse(traits="interview, openness", reverse="interview")
    for content, clip, expected in (
        (scores(), "b.000.mp4", [1 - 0.55, 0.05]),
        (HEADER + ROW, "a.0", [1 - 0.9, 0.1]),
    ):
        labels = read_labels([write(content)], options)
        assert list(labels.scores) == ["interview", "openness"]
        assert labels.scores.loc[clip].tolist() == pytest.approx(expected)
        assert [(trait.name, trait.is_reversed) for trait in labels.traits] == [
            ("interview", True),
            ("openness", False),
        ]


def test_the_names_of_several_files_become_the_split(write):
    paths = [write(scores(), "annotation_training"), write(rename(scores()), "annotation_test")]
    assert read_labels(paths).splits.to_dict() == {
        "-a.001.mp4": "train",
        "b.000.mp4": "train",
        "c-a.001.mp4": "test",
        "cb.000.mp4": "test",
    }
    assert read_labels(paths[1:]).splits is None


@pytest.mark.parametrize("odd", ["a.0\u00a0", "a.0 ", "\u200ba.0"])
def test_names_with_invisible_differences_need_equal_scores(write, odd):
    same = {trait: {"a.0": 0.5, odd: 0.5} for trait in TRAITS}
    assert read_labels([write(same)]).scores.index.tolist() == ["a.0"]
    with pytest.raises(AnnotationError, match=r"openness has clip 'a\.0' twice"):
        read_labels([write({**same, "openness": {"a.0": 0.5, odd: 0.6}})])


def with_score(score) -> dict:
    return scores(extraversion={"-a.001.mp4": 0.5, "b.000.mp4": score})


ONLY_ONE = r"clip 'b\.000\.mp4' has a score for only one of"
OUT_OF_RANGE = r"clip 'b\.000\.mp4' has extraversion .* in \[0, 1\]"
NO_ENTRY = "extraversion has the entry .*must be the name of a clip"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([0.5], r"must contain \{trait: \{clip: score\}\}, but contains a pickled list"),
        ({}, "found no trait"),
        (without("openness"), "no scores for openness; found 'conscientiousness', "),
        (scores(openness=0.5), r"openness must be \{clip: score\}, but is a float"),
        ({trait: {} for trait in TRAITS}, "has no annotated clip"),
        (scores(openness={"-a.001.mp4": 0.5}), ONLY_ONE),
        (scores(agreeableness={"-a.001.mp4": 0.5}), ONLY_ONE),
        (with_score(-0.1), OUT_OF_RANGE),
        (with_score(65), OUT_OF_RANGE),
        (with_score(float("nan")), OUT_OF_RANGE),
        (with_score(float("inf")), OUT_OF_RANGE),
        (with_score("0.5"), NO_ENTRY),
        (with_score(None), NO_ENTRY),
        (with_score(True), NO_ENTRY),
        (with_score([0.5]), NO_ENTRY),
        (scores(extraversion={1: 0.5}), NO_ENTRY),
        (scores(extraversion={" ": 0.5}), NO_ENTRY),
        (HEADER.replace("openness", "honesty") + ROW, "no column for openness"),
        (HEADER + ROW.replace("0.3", ""), r"row 0 \(clip 'a\.0'\) has extraversion ''"),
        (HEADER + ROW.replace("0.3", "high"), "has extraversion 'high', which is not a number"),
        (HEADER + ROW + ROW.replace("a", "b") + ROW, r"'a\.0' occurs twice, in rows 0 and 2"),
    ],
    ids=range(21),
)
def test_a_bad_file_is_an_error(write, content, message):
    with pytest.raises(AnnotationError, match=message):
        read_labels([write(content)])


def test_files_are_combined_and_equal_scores_are_kept_once(write):
    paths = [
        write(scores()),
        write(scores(), "again"),
        write(V1_HEADER + "a.0,0.3,0.4,0.2,0.5,0.1\n"),
    ]
    table = read_labels(paths).scores
    assert table.index.tolist() == ["-a.001.mp4", "b.000.mp4", "a.0"]


def test_contradicting_files_are_an_error(write):
    other = scores(openness={"-a.001.mp4": 0.0, "b.000.mp4": 0.9})
    message = r"other\.pkl: clip 'b\.000\.mp4' has other scores than in .*annotation\.pkl"
    with pytest.raises(AnnotationError, match=message):
        read_labels([write(scores()), write(other, "other")])
    with pytest.raises(AnnotationError, match="other directions or ranges"):
        read_labels([write(scores()), write(HEADER + ROW)])
    with pytest.raises(AnnotationError, match="No annotation file"):
        read_labels([])


def test_the_real_file_has_the_labels_of_the_real_features(shared_data):
    directory = shared_data / "first_impressions"
    path = directory / "annotation_training.pkl"
    table = read_labels([path]).scores
    clips = pd.read_csv(directory / "clips.csv")
    labels = np.load(directory / "labels.npy")
    assert len(table) == 6000
    np.testing.assert_allclose(table.loc[clips["clip_id"]], labels, atol=1e-6)
    assert clips["group"].tolist() == [source_group(clip) for clip in clips["clip_id"]]
    assert table["neuroticism"].corr(table["extraversion"]) == pytest.approx(0.80, abs=0.01)
    operations = list(pickletools.genops(path.read_bytes()))
    names = {argument for opcode, argument, _ in operations if opcode.name == "GLOBAL"}
    assert names == {"numpy.core.multiarray scalar", "numpy dtype"}


WHOLE = pickle.dumps({"openness": {"a": np.float64(0.5)}}, protocol=2)


@given(content=st.binary(max_size=60), position=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_random_bytes_and_a_damaged_byte_are_an_error(tmp_path_factory, content, position, byte):
    damaged = bytearray(WHOLE)
    damaged[position % len(damaged)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    for data in (content + b".", damaged):
        path.write_bytes(data)
        with pytest.raises(AnnotationError):
            read_labels([path])


class Call:
    """Object that is pickled as a call of `function`."""

    def __init__(self, function, *arguments) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.fixture
def unpickle(tmp_path: Path):
    def read(content: bytes):
        path = tmp_path / "annotation.pkl"
        path.write_bytes(content)
        return read_score_pickle(path)

    return read


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f8"])
def test_numpy_scalars_of_every_protocol_become_floats(unpickle, protocol, dtype):
    scalar = np.array([0.375], dtype=dtype)[0]
    found = unpickle(pickle.dumps({"a": scalar, "b": 0.5}, protocol=protocol))
    assert found == {"a": 0.375, "b": 0.5}
    assert type(found["a"]) is float


def test_a_scalar_from_python_2_is_read(unpickle):
    content = (
        b"\x80\x02}U\x01acnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02f8K\x00K\x01tR"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"U\x08\x00\x00\x00\x00\x00\x00\xe8\x3ftRs."
    )
    assert unpickle(content) == {"a": 0.75}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("nest", [lambda call: call, lambda call: {"openness": {"a": call}}])
def test_a_command_in_a_pickle_is_never_run(unpickle, tmp_path, protocol, nest):
    touched = tmp_path / "touched"
    with pytest.raises(AnnotationError, match=r"it names '(posix|nt)\.system'"):
        unpickle(pickle.dumps(nest(Call(os.system, f"touch {touched}")), protocol=protocol))
    assert not touched.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Call(eval, "1")), "not a safe pickle of scores: it .*eval"),
        (pickle.dumps(Call(builtins.getattr, 1, "real")), "getattr"),
        (pickle.dumps(Call(np.load, "x.npy")), "load"),
        (pickle.dumps(Call(np.array, [1])), "array"),
        (pickle.dumps(Call(pickle.loads, b".")), "loads"),
        (pickle.dumps(Call(np.dtype, "O")), "type 'O'"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.", r"'numpy\.dtype\.__init__'"),
        (b"P1\n.", "opcode PERSID"),
        (b"\x80\x02K\x01Q.", "opcode BINPERSID"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "2147483647 memo entries"),
        (b"", "not a complete pickle"),
        (WHOLE[:1], "not a complete pickle"),
        (WHOLE[:20], "not a complete pickle"),
        (WHOLE[:-1], "not a complete pickle"),
        (b"clip_id,openness\n", "not a complete pickle"),
        (b"<html>", "not a complete pickle"),
        (b"\x93NUMPY", "not a complete pickle"),
        (b"\x80\x02t.", "not a complete pickle"),
    ],
    ids=range(18),
)
def test_a_bad_pickle_is_an_error(unpickle, content, message):
    with pytest.raises(AnnotationError, match=message):
        unpickle(content)


def test_a_cached_extension_code_is_an_error(unpickle):
    copyreg.add_extension("posixpath", "join", 240)
    try:
        content = b"\x80\x02\x82\xf0."
        assert pickle.loads(content) is os.path.join  # fills the cache of the process
        with pytest.raises(AnnotationError, match="opcode EXT1"):
            unpickle(content)
    finally:
        copyreg.remove_extension("posixpath", "join", 240)


@pytest.mark.parametrize(
    "name", [b"numpy\ndtype", b"numpy.core.multiarray\nscalar", b"_codecs\nencode"]
)
def test_a_pickle_cannot_change_the_replacements(unpickle, name):
    before = [dict(vars(each)) for each in score_pickle._REPLACEMENTS.values()]
    with pytest.raises(AnnotationError):
        unpickle(b"c" + name + b"\nN}U\x08__doc__xU\x01xs\x86b.")
    assert [dict(vars(each)) for each in score_pickle._REPLACEMENTS.values()] == before


def test_a_missing_or_large_file_is_an_error(unpickle, monkeypatch, tmp_path):
    with pytest.raises(AnnotationError, match="No such file"):
        read_score_pickle(tmp_path / "none.pkl")
    monkeypatch.setattr(score_pickle, "_MAX_BYTES", 10)
    with pytest.raises(AnnotationError, match="has 11 bytes, but must have at most 10"):
        unpickle(bytes(11))
