from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, TraitLabel, directions, traits_entry


def test_only_traits_scored_in_reverse_have_a_direction():
    assert directions([TraitLabel(name=name) for name in TRAITS]) == ()
    (direction,) = directions(FIRST_IMPRESSIONS)
    assert direction.startswith("neuroticism is scored in reverse: First Impressions scores")


def test_the_entry_of_the_files_has_one_mapping_per_trait():
    (entry,) = traits_entry([TraitLabel(name="openness", note="note")])["traits"]
    assert entry == {"name": "openness", "is_reversed": False, "note": "note"}
    assert traits_entry([]) == {}
