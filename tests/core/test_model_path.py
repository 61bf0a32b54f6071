import pytest

from pipeline.core.errors import ModelError
from pipeline.core.model_path import check_model_path


@pytest.mark.parametrize("name", ["a.keras", "a.h5", "a.weights.h5", "best-0.91.keras", "a.b.h5"])
def test_a_writable_path_is_accepted_and_not_created(name, tmp_path):
    check_model_path(tmp_path / "new" / name)
    assert not (tmp_path / "new").exists()


FORMATS = r"use one of \.keras .*, \.weights\.h5 .*, \.h5 "


@pytest.mark.parametrize(
    ("path", "message"),
    [
        *[
            (name, FORMATS)
            for name in ("model", "model.pkl", "model.hdf5", "a.keras.zip", ".keras", ".h5")
        ],
        ("directory.keras", "is a directory; name a file in it"),
        ("file/1/a.keras", "file is a file, not a directory"),
    ],
)
def test_an_unusable_path_is_an_error(path, message, tmp_path):
    (tmp_path / "directory.keras").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match=message):
        check_model_path(tmp_path / path)
