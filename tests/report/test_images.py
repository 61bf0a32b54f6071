"""Pictures are whole, and stand in the chapter of their folder."""

import base64

import pytest

from pipeline.core.errors import PipelineError
from pipeline.report.images import chapters, titles_by_reason

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 1"></svg>\n'


def test_a_png_knows_its_size(picture_with, png):
    assert picture_with(data=png(30, 20)).size_px == (30, 20)


def test_a_drawing_has_no_size_of_its_own(picture_with):
    picture = picture_with(media_type="image/svg+xml", data=SVG)

    assert picture.size_px is None
    assert picture.is_wide


@pytest.mark.parametrize(("width", "is_wide"), [(704, False), (1100, True)])
def test_a_picture_with_panels_side_by_side_is_wide(picture_with, png, width, is_wide):
    assert picture_with(data=png(width, 4)).is_wide is is_wide


def test_the_uri_holds_the_bytes(picture_with, png):
    uri = picture_with(data=png()).uri

    head, _, payload = uri.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(payload) == png()


@pytest.mark.parametrize("cut", [0, 10, -1])
def test_a_png_that_is_cut_off_is_refused(picture_with, png, cut):
    with pytest.raises(PipelineError, match="train_val_loss: is cut off or not image/png"):
        picture_with(data=png()[:cut])


def test_a_drawing_that_is_cut_off_is_refused(picture_with):
    with pytest.raises(PipelineError, match="is cut off"):
        picture_with(media_type="image/svg+xml", data=SVG[:20])


def test_other_media_cannot_stand_in_a_report(picture_with):
    with pytest.raises(PipelineError, match="text/html cannot stand in a report"):
        picture_with(media_type="text/html")


def test_each_folder_is_a_chapter_in_the_order_of_its_first_picture(
    picture_with, missing_picture_with
):
    loss = picture_with()
    epochs = picture_with(folder="training_time_analysis", name="epochs")
    mae = picture_with(name="mae")
    entropy = missing_picture_with()

    found = chapters((loss, epochs, mae), (entropy,))

    assert [chapter.title for chapter in found] == ["Training and traits", "Time", "Attention"]
    assert found[0].pictures == (loss, mae)
    assert found[2].missing == (entropy,)
    assert len({chapter.anchor for chapter in found}) == 3


def test_an_unknown_folder_is_a_chapter_under_its_own_name(picture_with):
    (chapter,) = chapters((picture_with(folder="my_own_figures"),), ())

    assert chapter.title == "My own figures"


def test_figures_that_are_missing_for_one_reason_stand_together(missing_picture_with):
    missing = [missing_picture_with(title=title) for title in ("Entropy", "Maps")]

    assert titles_by_reason(missing) == {
        "there is one key, on which attention is always 1.": ["Entropy", "Maps"]
    }
