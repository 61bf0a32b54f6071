import numpy as np
import pytest
from matplotlib.image import imsave

from pipeline.core.errors import PipelineError
from pipeline.figures.blankness import is_blank


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture.png"


def test_a_picture_of_one_colour_is_blank(path):
    imsave(path, np.full((4, 5, 3), 0.5))
    assert is_blank(path)


def test_one_other_pixel_is_something_to_see(path):
    pixels = np.full((4, 5, 3), 0.5)
    pixels[2, 3] = 0.0
    imsave(path, pixels)
    assert not is_blank(path)


def test_a_torn_picture_is_named(path):
    imsave(path, np.full((40, 50, 3), 0.5))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(PipelineError, match=r"picture\.png: cannot be read as a picture"):
        is_blank(path)


def test_what_is_no_picture_is_named(path):
    path.write_text("no picture")
    with pytest.raises(PipelineError, match="cannot be read as a picture"):
        is_blank(path)
