import builtins
import copyreg
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import AnnotationError
from pipeline.data.readers import score_pickle
from pipeline.data.readers.score_pickle import read_score_pickle


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@pytest.fixture
def read(tmp_path: Path):
    def read(content: bytes):
        path = tmp_path / "annotation.pkl"
        path.write_bytes(content)
        return read_score_pickle(path)

    return read


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f8"])
def test_numpy_scalars_of_every_protocol_become_floats(read, protocol, dtype):
    scalar = np.array([0.375], dtype=dtype)[0]
    found = read(pickle.dumps({"a": scalar, "b": 0.5}, protocol=protocol))
    assert found == {"a": 0.375, "b": 0.5}
    assert type(found["a"]) is float


def test_a_scalar_as_python_2_wrote_it_is_read(read):
    content = (
        b"\x80\x02}U\x01acnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02f8K\x00K\x01tR"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"U\x08\x00\x00\x00\x00\x00\x00\xe8\x3ftRs."
    )
    assert read(content) == {"a": 0.75}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("nest", [lambda call: call, lambda call: {"openness": {"a": call}}])
def test_a_command_is_refused_and_not_run(read, tmp_path, protocol, nest):
    touched = tmp_path / "touched"
    with pytest.raises(AnnotationError, match=r"is refused, as it names '(posix|nt)\.system'"):
        read(pickle.dumps(nest(Call(os.system, f"touch {touched}")), protocol=protocol))
    assert not touched.exists()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (Call(eval, "1"), "eval"),
        (Call(builtins.getattr, 1, "real"), "getattr"),
        (Call(np.load, "x.npy"), "load"),
        (Call(np.array, [1]), "array"),
        (Call(pickle.loads, b"."), "loads"),
        (Call(np.dtype, "O"), "type 'O'"),
    ],
)
def test_any_other_name_is_refused(read, call, name):
    with pytest.raises(AnnotationError, match=f"is refused, as it .*{name}"):
        read(pickle.dumps(call))


def test_a_dotted_way_through_an_allowed_name_is_refused(read):
    content = b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93."
    with pytest.raises(AnnotationError, match=r"names 'numpy\.dtype\.__init__'"):
        read(content)


@pytest.mark.parametrize("content", [b"P1\n.", b"\x80\x02K\x01Q."])
def test_a_reference_out_of_the_pickle_is_refused(read, content):
    with pytest.raises(AnnotationError, match=r"opcode (BIN)?PERSID"):
        read(content)


def test_an_extension_code_is_refused_though_it_is_cached(read):
    copyreg.add_extension("posixpath", "join", 240)
    try:
        content = b"\x80\x02\x82\xf0."
        assert pickle.loads(content) is os.path.join  # now in the cache of the process
        with pytest.raises(AnnotationError, match="opcode EXT1"):
            read(content)
    finally:
        copyreg.remove_extension("posixpath", "join", 240)


@pytest.mark.parametrize(
    "name", [b"numpy\ndtype", b"numpy.core.multiarray\nscalar", b"_codecs\nencode"]
)
def test_a_pickle_cannot_change_what_it_is_given(read, name):
    before = [dict(vars(stand_in)) for stand_in in score_pickle._STAND_INS.values()]
    set_attribute = b"c" + name + b"\nN}U\x08__doc__xU\x01xs\x86b."
    with pytest.raises(AnnotationError):
        read(set_attribute)
    assert [dict(vars(stand_in)) for stand_in in score_pickle._STAND_INS.values()] == before


def test_an_index_that_asks_for_gigabytes_is_refused(read):
    with pytest.raises(AnnotationError, match="asks for 2147483647 memo entries"):
        read(b"\x80\x02Nr\xff\xff\xff\x7f.")


def test_a_file_that_is_too_large_is_not_read(read, monkeypatch):
    monkeypatch.setattr(score_pickle, "_MAX_BYTES", 10)
    with pytest.raises(AnnotationError, match="is 11 bytes large, expected at most 10"):
        read(bytes(11))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="No such file"):
        read_score_pickle(tmp_path / "none.pkl")


@pytest.mark.parametrize("length", [0, 1, 20, -1])
def test_a_pickle_cut_short_is_refused(read, length):
    content = pickle.dumps({"openness": {"a": np.float64(0.5)}}, protocol=2)
    with pytest.raises(AnnotationError, match="is not a whole pickle"):
        read(content[:length])


@pytest.mark.parametrize("content", [b"clip_id,openness\n", b"<html>", b"\x93NUMPY", b"\x80\x02t."])
def test_what_is_no_pickle_is_refused(read, content):
    with pytest.raises(AnnotationError, match="is not a whole pickle"):
        read(content)


def test_the_real_file_names_only_what_is_allowed(shared_data):
    content = (shared_data / "first_impressions" / "annotation_training.pkl").read_bytes()
    operations = list(pickletools.genops(content))
    names = {argument for opcode, argument, _ in operations if opcode.name == "GLOBAL"}
    assert names == {"numpy.core.multiarray scalar", "numpy dtype"}
