import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.identifiers import (
    look_alikes,
    nearly_equal_identifiers,
    normalize_identifier,
)


@pytest.mark.parametrize(
    "text",
    [
        "p03 ",
        " p03",
        "p03\u00a0",
        "\tp03\n",
        "\ufeffp03",
        "p\u200b03",
        "p03\u200e",
        "p\u00ad03",
        "p03\x00",
    ],
)
def test_differences_that_nobody_can_see_are_removed(text):
    assert normalize_identifier(text) == "p03"


def test_accents_are_composed():
    decomposed = unicodedata.normalize("NFD", "Zoé Müller")
    assert normalize_identifier(decomposed) == "Zoé Müller"


def test_every_kind_of_blank_is_a_plain_blank():
    assert normalize_identifier("anna\u00a0b\u2009c") == "anna b c"


@pytest.mark.parametrize(
    "text", ["-AmMDnVl4s8.003.mp4", "=cmd|' /C calc'!A0", "-2+3", "@a", "001", "a  b", "NA", "日本"]
)
def test_a_clean_name_stays_as_it_is(text):
    assert normalize_identifier(text) == text


@given(st.text())
def test_normalizing_twice_changes_nothing_more(text):
    once = normalize_identifier(text)
    assert normalize_identifier(once) == once


@pytest.mark.parametrize(
    "names", [("P03", "p03"), ("1", "1.0"), ("01", "1"), ("a  b", "a b"), ("ﬁ", "fi"), ("1", "１")]
)
def test_names_that_are_probably_one_are_found(names):
    assert nearly_equal_identifiers([*names, "other", names[0]]) == [tuple(sorted(names))]


def test_names_that_differ_visibly_are_left_alone():
    assert nearly_equal_identifiers(["p1", "p10", "p2", "p-1", "1.5", "1", "15", "p 1"]) == []


def test_names_that_are_not_among_the_others_but_nearly_are_found():
    others = ["a", "b", "1"]
    assert look_alikes(["A", "x/b", "1.0", "a", "c"], others) == {"A": "a", "x/b": "b", "1.0": "1"}
