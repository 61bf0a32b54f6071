import pytest

from pipeline.core.errors import ModelError
from pipeline.core.model_path import check_model_path


@pytest.mark.parametrize("name", ["a.keras", "a.h5", "a.weights.h5", "best-0.91.keras", "a.b.h5"])
def test_a_path_that_can_be_saved_to_is_accepted(name, tmp_path):
    check_model_path(tmp_path / "new" / name)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name", ["model", "model.pkl", "model.hdf5", "a.keras.zip", ".keras", ".h5"]
)
def test_a_suffix_that_names_no_format_is_refused(name, tmp_path):
    with pytest.raises(ModelError, match=r"use one of \.keras .*, \.weights\.h5 .*, \.h5 "):
        check_model_path(tmp_path / name)


def test_a_directory_in_the_way_is_refused(tmp_path):
    (tmp_path / "a.keras").mkdir()
    with pytest.raises(ModelError, match="is a directory; name a file in it"):
        check_model_path(tmp_path / "a.keras")


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(ModelError, match="runs is a file, not a directory"):
        check_model_path(tmp_path / "runs" / "1" / "a.keras")
