import base64

import pytest

from pipeline.report.images import build_chapters, titles_by_reason

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 1"></svg>\n'


@pytest.mark.parametrize(
    ("size", "is_wide"), [((30, 20), False), ((704, 4), False), ((1100, 4), True), (None, True)]
)
def test_an_image_has_a_size_and_a_width_class(image_with, png, size, is_wide):
    changes = {"data": png(*size)} if size else {"media_type": "image/svg+xml", "data": SVG}
    image = image_with(**changes)
    assert image.size_px == size
    assert image.is_wide is is_wide


def test_the_uri_contains_the_bytes(image_with, png):
    head, _, payload = image_with(data=png()).uri.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(payload) == png()


def test_each_folder_is_a_chapter_in_the_order_of_its_first_image(image_with, missing_image_with):
    loss, mae = image_with(), image_with(title="MAE")
    epochs = image_with(folder="training_time_analysis")
    other = image_with(folder="my_own_figures")
    entropy = missing_image_with()
    found = build_chapters((loss, epochs, mae, other), (entropy,))
    assert [chapter.title for chapter in found] == [
        "Training and traits",
        "Time",
        "My own figures",
        "Attention",
    ]
    assert found[0].images == (loss, mae)
    assert found[3].missing == {entropy.reason: ["Entropy"]}
    assert len({chapter.anchor for chapter in found}) == 4


def test_missing_figures_are_grouped_by_reason(missing_image_with):
    missing = [missing_image_with(title=title) for title in ("Entropy", "Maps")]
    assert titles_by_reason(missing) == {missing[0].reason: ["Entropy", "Maps"]}
