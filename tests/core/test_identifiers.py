import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.identifiers import (
    look_alikes,
    nearly_equal_identifiers,
    normalize_identifier,
)

INVISIBLE = (
    *("p03 ", " p03", "p03\u00a0", "\tp03\n", "\ufeffp03"),
    *("p\u200b03", "p03\u200e", "p\u00ad03", "p03\x00"),
)
CLEAN = ("-AmMDnVl4s8.003.mp4", "=cmd|' /C calc'!A0", "-2+3", "@a", "001", "a  b", "NA", "日本")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *[(text, "p03") for text in INVISIBLE],
        *[(text, text) for text in CLEAN],
        (unicodedata.normalize("NFD", "Zoé Müller"), "Zoé Müller"),
        ("anna\u00a0b\u2009c", "anna b c"),
    ],
)
def test_only_invisible_differences_are_removed(text, expected):
    assert normalize_identifier(text) == expected


@given(st.text())
def test_a_second_normalization_changes_nothing(text):
    once = normalize_identifier(text)
    assert normalize_identifier(once) == once


@pytest.mark.parametrize(
    "names", [("P03", "p03"), ("1", "1.0"), ("01", "1"), ("a  b", "a b"), ("ﬁ", "fi"), ("1", "１")]
)
def test_names_that_probably_mean_the_same_are_found(names):
    assert nearly_equal_identifiers([*names, "other", names[0]]) == [tuple(sorted(names))]


def test_names_with_visible_differences_are_not_equal():
    assert nearly_equal_identifiers(["p1", "p10", "p2", "p-1", "1.5", "1", "15", "p 1"]) == []


def test_unknown_names_are_mapped_to_nearly_equal_names():
    others = ["a", "b", "1"]
    assert look_alikes(["A", "x/b", "1.0", "a", "c"], others) == {"A": "a", "x/b": "b", "1.0": "1"}
