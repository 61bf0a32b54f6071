"""The model card says what the model is for and what is not known."""

import pytest

from pipeline.core.traits import FIRST_IMPRESSIONS, traits_entry
from pipeline.report.model_card import BIAS_SOURCES, model_card


def entry(records, heading):
    (found,) = [entry for entry in model_card(records) if entry.heading == heading]
    return " ".join(found.paragraphs).replace("\N{NO-BREAK SPACE}", " ")


def subgroup(scores, r2, num_clips=300):
    return {"num_clips": num_clips, "num_groups": 50, "metrics": scores(r2=r2)}


def test_the_scores_are_apparent_and_not_for_decisions_on_people(records_with):
    assert "not the person’s personality" in entry(records_with(), "What the scores are")
    assert entry(records_with(), "Not for").startswith("Decisions on people: hiring")


def test_a_trait_that_is_scored_in_reverse_is_named(records_with):
    records = records_with(data=traits_entry(FIRST_IMPRESSIONS))
    assert "Neuroticism is scored in reverse: First Imp" in entry(records, "What the scores are")
    assert "reverse" not in entry(records_with(), "What the scores are")


def test_the_data_are_named_with_sources_encoder_and_sides(records_with):
    told = entry(records_with(), "Data")

    assert "6,000 clips; static features 6,000 × 8 × 32" in told
    assert "encoder: hog" in told
    assert "Sources: static.npy and clips.csv in features." in told
    assert "train 4,800 clips of 2,000 groups, validation 600 clips of 250 groups and test" in told


def test_sources_of_several_directories_are_named_in_full(records_with):
    records = records_with(data={"sources": ["a/static.npy", "b/clips.csv"]})

    assert "Sources: a/static.npy and b/clips.csv." in entry(records, "Data")


def test_empty_sides_are_left_out(records_with):
    sides = {"train": 10, "validation": 5, "test": 0}

    told = entry(records_with(summary={"num_clips": sides, "num_groups": sides}), "Data")

    assert "test" not in told


def test_unknown_data_are_called_unknown(records_with):
    assert entry(records_with(data=None, summary=None), "Data").startswith("Unknown")


def test_all_metrics_of_the_evaluation_are_told(records_with):
    told = entry(records_with(), "Evaluation")

    assert told.startswith("600 test clips of 250 groups, on average over the traits: accuracy")
    assert "CCC 0.620 [0.580, 0.660]" in told
    assert entry(records_with(evaluation=None), "Evaluation") == "None is at hand."


def test_without_subgroups_it_says_how_to_measure_them(records_with):
    assert "`--by COLUMN`" in entry(records_with(), "Results by subgroup")


@pytest.mark.parametrize(
    ("worst", "told"),
    [
        ((0.10, 0.05, 0.15), "the intervals do not overlap."),
        ((0.40, 0.35, 0.45), "the intervals overlap, so this may be chance."),
    ],
)
def test_the_widest_gap_between_subgroups_is_told_with_its_evidence(
    records_with, scores, worst, told
):
    by = {
        "gender": {
            "women": subgroup(scores, (0.45, 0.40, 0.50)),
            "men": subgroup(scores, worst, num_clips=200),
        }
    }

    text = entry(records_with(evaluation={"by": by}), "Results by subgroup")

    assert (
        "By gender, R² is best for women (0.450 [0.400, 0.500], 300 clips) and worst for men"
        in text
    )
    assert told in text


def test_a_column_with_one_value_has_nothing_to_compare(records_with, scores):
    by = {"gender": {"women": subgroup(scores, (0.45, 0.40, 0.50))}}

    text = entry(records_with(evaluation={"by": by}), "Results by subgroup")

    assert text == "By gender: all evaluated clips are women."


def test_the_biases_of_annotators_are_cited_where_they_were_shown():
    assert [source.url for source in BIAS_SOURCES] == [
        "https://arxiv.org/abs/2011.14906",
        "https://arxiv.org/abs/1909.05568",
    ]


def test_prediction_intervals_are_told_with_what_they_cover_and_what_they_do_not_promise(
    records_with,
):
    told = entry(records_with(), "Prediction intervals")

    assert "held the annotated score of 90.5 % [88.5 %, 92.5 %] of the clips" in told
    assert "chose the best epoch too" in told


def test_intervals_that_were_not_measured_are_not_praised(records_with):
    told = entry(records_with(evaluation={"intervals": None}), "Prediction intervals")

    assert told.startswith("Not measured")
