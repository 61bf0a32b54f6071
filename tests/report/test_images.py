import base64

import pytest

from pipeline.report.images import build_chapters
from tests.report.conftest import make_image, make_missing_image, make_png

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 1"></svg>\n'


@pytest.mark.parametrize(
    ("size", "is_wide"), [((30, 20), False), ((704, 4), False), ((1100, 4), True), (None, True)]
)
def test_an_image_has_a_size_and_wide_images_are_marked(size, is_wide):
    changes = {"data": make_png(*size)} if size else {"media_type": "image/svg+xml", "data": SVG}
    image = make_image(**changes)
    assert image.size_px == size
    assert image.is_wide is is_wide


def test_the_uri_contains_the_image():
    head, _, payload = make_image(data=make_png()).uri.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(payload) == make_png()


def test_each_folder_is_a_chapter_in_the_order_of_its_first_image():
    loss, mae = make_image(), make_image(title="MAE")
    epochs = make_image(folder="training_time_analysis")
    other = make_image(folder="my_own_figures")
    entropy, maps = make_missing_image(), make_missing_image(title="Maps")
    found = build_chapters((loss, epochs, mae, other), (entropy, maps))
    titles = ["Training and traits", "Time", "My own figures", "Attention"]
    assert [chapter.title for chapter in found] == titles
    assert found[0].images == (loss, mae)
    assert found[3].missing == {entropy.reason: ["Entropy", "Maps"]}
    assert len({chapter.anchor for chapter in found}) == 4
