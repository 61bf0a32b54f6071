import pytest

from pipeline.core.stream_names import ordered_streams, stream_name_fault


@pytest.mark.parametrize("name", ["static", "dynamic", "audio", "wav2vec-2", "face_2", "A", "mask"])
def test_letters_digits_and_hyphens_are_valid(name):
    assert stream_name_fault(name) == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "letters"),
        ("a b", "letters"),
        ("a+b", "letters"),
        ("a/b", "letters"),
        ("é", "letters"),
        ("a\n", "letters"),
        ("_face", "begin with a letter"),
        ("-face", "begin with a letter"),
        ("labels", "must not be labels"),
        ("traits", "must not be labels"),
        ("face_mask", "must not end with _mask"),
        ("face_seconds", "must not end with _seconds"),
        ("face_to_face", "must not contain _to_"),
    ],
)
def test_other_names_have_a_reason(name, reason):
    assert reason in stream_name_fault(name)


def test_static_and_dynamic_come_first_and_the_others_by_name():
    names = ["b", "dynamic", "a", "static"]
    assert ordered_streams(names) == ("static", "dynamic", "a", "b")
    assert ordered_streams(["b", "dynamic"]) == ("dynamic", "b")
