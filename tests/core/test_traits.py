import pytest

from pipeline.core.traits import (
    FIRST_IMPRESSIONS,
    TRAITS,
    TraitLabel,
    describe_ranges,
    describe_scores,
    label_ranges,
    short_names,
    trait_names_fault,
    traits_entry,
    was_rescaled,
)


def traits_with(*ranges):
    """Return one label per trait. The last range applies to all remaining traits."""
    padded = [*ranges, *ranges[-1:] * (len(TRAITS) - len(ranges))]
    return [
        TraitLabel(name=name, label_range=each) for name, each in zip(TRAITS, padded, strict=True)
    ]


def test_plain_scores_need_no_description():
    assert describe_scores([TraitLabel(name=name) for name in TRAITS]) == ()
    assert describe_scores(()) == ()


def test_a_reversed_trait_is_described_by_its_note():
    (sentence,) = describe_scores(FIRST_IMPRESSIONS)
    assert sentence.startswith("Neuroticism is scored in reverse: First Impressions scores")
    assert "emotionally stable" in sentence


def test_a_reversed_trait_without_a_note_has_a_default_meaning():
    (sentence,) = describe_scores([TraitLabel(name="openness", is_reversed=True)])
    assert "high score means low openness" in sentence


def test_rescaled_annotations_are_described():
    (sentence,) = describe_scores(traits_with((1.0, 7.0)))
    assert "1 to 7" in sentence


@pytest.mark.parametrize(
    ("traits", "expected"),
    [((), False), (FIRST_IMPRESSIONS, False), (traits_with((0.0, 1.0), (1.0, 5.0)), True)],
)
def test_annotations_with_another_range_were_rescaled(traits, expected):
    assert was_rescaled(traits) is expected


def test_different_ranges_are_described_per_trait():
    assert describe_ranges(label_ranges(traits_with((0.0, 100.0)))) == "0 to 100"
    text = describe_ranges(label_ranges(traits_with((1.0, 5.0), (1.0, 7.0))))
    assert text.startswith("openness 1 to 5, conscientiousness 1 to 7, ")


def test_the_entry_of_the_files_has_one_mapping_per_trait():
    (entry,) = traits_entry([TraitLabel(name="openness", note="note")])["traits"]
    expected = {"name": "openness", "is_reversed": False, "note": "note"}
    assert entry == {**expected, "label_range": (0.0, 1.0)}
    assert traits_entry([]) == {}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (TRAITS, ("O", "C", "E", "A", "N")),
        (("honesty", "humility", "interview"), ("Ho", "Hu", "I")),
        (("open", "openness"), ("Open", "Openn")),
        (("interview",), ("I",)),
    ],
)
def test_short_names_are_the_shortest_beginnings_that_differ(names, expected):
    assert short_names(names) == expected


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["open", "Open"], "occurs twice"),
        (["true_open"], "another column"),
        (["group"], "another column"),
        (["open", "open_low"], "interval ends"),
    ],
)
def test_names_of_other_columns_are_not_names_of_traits(names, fault):
    assert fault in trait_names_fault(names)
