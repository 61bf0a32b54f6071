from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.core.errors import FeatureSetError
from pipeline.data.readers.stream_source import open_stream

A = np.arange(6, dtype=np.float64).reshape(3, 2)
B = np.arange(8, dtype=np.float64).reshape(4, 2)


def write_archive(path: Path, **arrays) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".hdf5"])
def test_an_archive_has_one_array_per_clip(tmp_path, suffix):
    path = write_archive(tmp_path / f"all{suffix}", **{"anna/a": A, "ben/b.wav": B})
    source = open_stream("face", path, num_steps=2)
    assert source.clip_ids == ("a", "b")
    assert source.clip_folders == ("anna", "ben")
    assert source.description == f"arrays, one file ({suffix})"
    assert source.read_all(["b", "a"]).values.tolist() == [[[1, 2], [5, 6]], [[0, 1], [3, 4]]]


def test_equal_names_in_folders_keep_their_folders(tmp_path):
    path = write_archive(tmp_path / "all.npz", **{"anna/1": A, "ben/1": B})
    assert open_stream("face", path).clip_ids == ("anna/1", "ben/1")


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_keys_name_numbered_arrays(tmp_path, suffix):
    keys = np.array(["x.1", "y"]) if suffix == ".npz" else np.array([b"x.1", b"y"])
    path = write_archive(tmp_path / f"all{suffix}", keys=keys, v_0=A, v_1=A + 1)
    source = open_stream("face", path)
    assert source.clip_ids == ("x.1", "y")
    assert source.read_all().values.tolist() == [A.tolist(), (A + 1).tolist()]


def test_a_folder_has_one_file_per_clip(tmp_path):
    for name, array in (("b", B), ("a.001", A)):
        np.save(tmp_path / f"{name}.npy", array)
    source = open_stream("face", tmp_path, num_steps=2, how="nearest")
    assert source.clip_ids == ("a.001", "b")
    assert source.description == "arrays (.npy)"
    assert source.read_all().values.tolist() == [[[0, 1], [4, 5]], [[0, 1], [4, 5]]]


def test_the_array_of_a_file_with_several_is_chosen_by_name(tmp_path):
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", emb=A, logits=B, length=3)
    assert open_stream("face", tmp_path, columns=["emb"]).read_all().values.shape == (2, 3, 2)
    message = r"has the arrays emb, logits, expected one.*--columns face=ARRAY"
    with pytest.raises(FeatureSetError, match=message):
        open_stream("face", tmp_path).read_all()
    with pytest.raises(FeatureSetError, match=r"Did you mean 'emb'"):
        open_stream("face", tmp_path, columns=["embs"]).read_all()


@pytest.mark.parametrize(
    ("arrays", "num_steps", "shape"),
    [
        ([A[0], A[1]], None, (2, 2)),  # vectors
        ([A[0], A[1]], 4, (2, 2)),
        ([A[:1], A[:1]], None, (2, 2)),  # one step is a vector
        ([A, A], None, (2, 3, 2)),  # equal lengths keep their steps
        ([A, A], 5, (2, 5, 2)),
        ([A, B], None, (2, 16, 2)),
    ],
    ids=range(6),
)
def test_only_sequences_of_different_length_get_16_steps(tmp_path, arrays, num_steps, shape):
    for number, array in enumerate(arrays):
        np.save(tmp_path / f"{number}.npy", array)
    found = open_stream("face", tmp_path, num_steps=num_steps).read_all()
    assert found.values.shape == shape
    assert found.mask.shape == (2, shape[1] if len(shape) == 3 else 1)
    assert found.seconds is None


def test_nan_is_masked(tmp_path):
    odd = A.copy()
    odd[1, 0] = np.nan
    for name, array in {"a": odd, "b": A, "c": A * np.nan}.items():
        np.save(tmp_path / f"{name}.npy", array)
    found = open_stream("face", tmp_path).read_all()
    assert found.values[0].tolist() == [[0, 1], [0, 0], [4, 5]]
    assert found.mask.tolist() == [[True, False, True], [True] * 3, [False] * 3]
    assert (found.num_frames, found.num_masked, found.empty_clips) == (9, 4, ("c",))
    assert not found.values[2].any()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros((2, 2, 2))}, r"a\.npy: has shape \(2, 2, 2\) and type float64, expected"),
        ({"a": np.zeros((0, 2))}, r"a\.npy: has shape \(0, 2\)"),
        ({"a": A, "b": A[:, :1]}, r"b\.npy: has shape \(3, 1\), but .*a\.npy has \(3, 2\)"),
        ({"a": A[0], "b": A}, r"b\.npy: has shape \(3, 2\), but .*a\.npy has \(1, 2\)"),
        ({"a": np.array(["x"])}, r"a\.npy: must contain .*, but has values of type <U1"),
        (
            {"a": np.array([A, B], dtype=object)},
            r"a\.npy: must contain .*, but has values of type object",
        ),
        ({"a": A * np.nan}, r"a\.npy: has no valid frame"),
    ],
    ids=range(7),
)
def test_a_wrong_array_is_an_error(tmp_path, arrays, message):
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(FeatureSetError, match=message):
        open_stream("face", tmp_path).read_all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"keys": np.array(["a", "b"]), "v_0": A}, "has no array v_1"),
        ({"keys": np.array(["a", "a"]), "v_0": A, "v_1": A}, "2 clips have the id 'a'"),
        ({"keys": np.array(["a"], dtype=object), "v_0": A}, "Python objects, which are not unpick"),
        ({"a": np.array([None])}, "Python objects, which are not unpickled"),
        ({"a": np.zeros((1, 2, 3))}, r"array 'a' has shape \(1, 2, 3\)"),
        ({}, "has no array"),
    ],
    ids=range(6),
)
def test_a_wrong_archive_is_an_error(tmp_path, arrays, message):
    path = write_archive(tmp_path / "all.npz", **arrays)
    with pytest.raises(FeatureSetError, match=message) as caught:
        open_stream("face", path).read_all()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_a_damaged_file_is_an_error(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"damaged")
    for given in (path, tmp_path):
        with pytest.raises(FeatureSetError, match=f"a{suffix}: "):
            open_stream("face", given).read_all()


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".pth"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_the_error_for_a_pickle_has_lines_that_convert_it(tmp_path, suffix, is_folder):
    path = tmp_path / f"a{suffix}"
    if suffix == ".pkl":
        np.array([A.tolist()]).dump(path)
    else:
        path.write_bytes(b"PK")
    with pytest.raises(FeatureSetError, match="Pickles can run code") as caught:
        open_stream("face", tmp_path if is_folder else path)
    lines = "\n".join(line.strip(" ") for line in str(caught.value).splitlines()[1:3])
    body = str(caught.value).splitlines()[3]
    assert len(str(caught.value).splitlines()) == 4
    if suffix == ".pkl":
        exec(f"{lines}\n{body}")  # the lines of the error
        assert open_stream("face", tmp_path).clip_ids == ("a",)


def test_one_array_of_all_clips_is_kept_as_it_is(tmp_path):
    path = tmp_path / "static.npy"
    values = np.arange(24, dtype=np.float64).reshape(2, 4, 3)
    np.save(path, values)
    source = open_stream("static", path)
    assert source.clip_ids is None
    found = source.read_all()
    assert found.values.dtype == np.float64
    assert (found.values == values).all()
    assert found.mask is None
    assert found.num_frames == 8
    resampled = open_stream("static", path, num_steps=2)
    assert resampled.clip_ids is None
    assert resampled.read_all().values[:, :, 0].tolist() == [[1.5, 7.5], [13.5, 19.5]]
    np.save(tmp_path / "static_mask.npy", np.ones((2, 4), dtype=bool))
    assert source.read_all().mask.shape == (2, 4)
    with pytest.raises(FeatureSetError, match=r"static_mask\.npy: .*Leave out --num_steps"):
        open_stream("static", path, num_steps=2)
