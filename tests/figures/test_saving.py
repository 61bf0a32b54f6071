import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imsave
from PIL import Image

from pipeline.core.errors import PipelineError
from pipeline.figures.base.saving import check_formats, is_blank, save_figure
from pipeline.figures.base.style import PAPER, SCREEN


def some_figure():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([1, 2, 3])
    return figure


def test_each_format_becomes_a_file_beside_the_others(tmp_path):
    paths = save_figure(some_figure(), tmp_path / "a" / "curve", formats=("png", "svg", "pdf"))
    assert [path.name for path in paths] == ["curve.png", "curve.svg", "curve.pdf"]
    assert [path.read_bytes()[:4] for path in paths] == [b"\x89PNG", b"<?xm", b"%PDF"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted(
        path.name for path in paths
    )


def test_a_dot_in_a_name_is_not_taken_for_a_suffix(tmp_path):
    (path,) = save_figure(some_figure(), tmp_path / "clip.001")
    assert path.name == "clip.001.png"


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, suffix):
    (first,) = save_figure(some_figure(), tmp_path / "a", formats=(suffix,), alt_text="é → 1")
    (second,) = save_figure(some_figure(), tmp_path / "b", formats=(suffix,), alt_text="é → 1")
    assert first.read_bytes() == second.read_bytes()


def test_a_picture_carries_its_alt_text_and_the_resolution_of_its_style(tmp_path):
    (path,) = save_figure(some_figure(), tmp_path / "a", style=PAPER, alt_text="R² falls → 0")
    with Image.open(path) as picture:
        assert picture.text == {"Description": "R² falls → 0"}
        assert picture.size == (2 * PAPER.dpi, 1 * PAPER.dpi)
    assert SCREEN.dpi != PAPER.dpi


def test_a_vector_figure_carries_its_alt_text_too(tmp_path):
    (path,) = save_figure(some_figure(), tmp_path / "a", formats=("svg",), alt_text="falls")
    assert "<dc:description>falls</dc:description>" in path.read_text().replace("\n", "").replace(
        "  ", ""
    )


def test_a_failed_drawing_leaves_the_old_file(tmp_path, monkeypatch):
    (path,) = save_figure(some_figure(), tmp_path / "a")
    before = path.read_bytes()
    broken = some_figure()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(broken, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(broken, tmp_path / "a")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("formats", [("gif",), ("png", "jpg"), ()])
def test_unknown_formats_are_refused_before_anything_is_written(tmp_path, formats):
    with pytest.raises(PipelineError, match="png, svg, pdf"):
        save_figure(some_figure(), tmp_path / "a", formats=formats)
    assert not list(tmp_path.iterdir())


def test_a_format_named_twice_is_written_once():
    assert check_formats(["png", "svg", "png"]) == ("png", "svg")


@pytest.mark.parametrize(("grey", "expected"), [(0.5, True), (0.0, False)])
def test_an_image_of_one_colour_is_blank(tmp_path, grey, expected):
    pixels = np.full((4, 5, 3), 0.5)
    pixels[2, 3] = grey
    imsave(tmp_path / "a.png", pixels)
    assert is_blank(tmp_path / "a.png") is expected


@pytest.mark.parametrize("length", [0, 60])
def test_an_unreadable_image_is_named(tmp_path, length):
    path = tmp_path / "a.png"
    imsave(path, np.full((40, 50, 3), 0.5))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(PipelineError, match=r"a\.png: cannot be read as an image"):
        is_blank(path)
