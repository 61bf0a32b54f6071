import pytest

from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS, TraitLabel, traits_entry
from pipeline.report.model_card import model_card
from tests.report.conftest import make_scores


def entry(records, heading):
    return " ".join(model_card(records)[heading]).replace("\N{NO-BREAK SPACE}", " ")


def subgroup(r2, num_clips=300):
    return {"num_clips": num_clips, "num_groups": 50, "metrics": make_scores(r2=r2)}


WOMEN = (0.45, 0.40, 0.50)
SUBSETS = {"train": 10, "validation": 5, "test": 0}
EMPTY_TEST = {"summary": {"num_clips": SUBSETS, "num_groups": SUBSETS}}
TWO_DIRS = {"data": {"sources": ["a/static.npy", "b/clips.csv"]}}
REVERSED = {"data": traits_entry(FIRST_IMPRESSIONS)}
LIKERT = [TraitLabel(name=name, label_range=(1.0, 7.0)) for name in TRAITS]
RESCALED = {"data": traits_entry(LIKERT)}


@pytest.mark.parametrize(
    ("heading", "changes", "expected"),
    [
        ("Meaning of the scores", {}, "do not measure the person’s personality"),
        ("Meaning of the scores", REVERSED, "Neuroticism is scored in reverse: First Imp"),
        ("Meaning of the scores", RESCALED, "Annotations on the scale 1 to 7 were rescaled"),
        ("Not intended for", {}, "Decisions about people: hiring"),
        ("Data", {}, "6,000 clips with static features (8 steps of 32 values)"),
        ("Data", {}, "Encoder: hog"),
        ("Data", {}, "Sources: static.npy and clips.csv in features."),
        ("Data", {}, "train 4,800 clips from 2,000 groups, validation 600 clips from 250 groups"),
        ("Data", TWO_DIRS, "Sources: a/static.npy and b/clips.csv."),
        ("Data", EMPTY_TEST, "validation 5 clips from 5 groups."),
        ("Data", {"data": None, "summary": None}, "Unknown"),
        ("Evaluation", {}, "600 test clips from 250 groups. Averages over the traits: accuracy"),
        ("Evaluation", {}, "CCC 0.620 [0.580, 0.660]"),
        ("Evaluation", {"evaluation": None}, "There is no evaluation."),
        ("Prediction intervals", {}, "contained 90.5 % [88.5 %, 92.5 %] of the annotated scores"),
        ("Prediction intervals", {}, "used to select the best epoch"),
        ("Prediction intervals", {"evaluation": {"intervals": None}}, "Not measured"),
        ("Results by subgroup", {}, "`--by COLUMN`"),
    ],
)
def test_the_card_contains_the_facts_of_the_run(records_with, heading, changes, expected):
    assert expected in entry(records_with(**changes), heading)


@pytest.mark.parametrize(
    ("men", "expected"),
    [
        ((0.10, 0.05, 0.15), "The intervals do not overlap."),
        ((0.40, 0.35, 0.45), "The intervals overlap, so the difference may be chance."),
    ],
)
def test_the_best_and_the_worst_subgroup_are_compared(records_with, men, expected):
    by = {"gender": {"women": subgroup(WOMEN), "men": subgroup(men, num_clips=200)}}
    text = entry(records_with(evaluation={"by": by}), "Results by subgroup")
    assert "best for women (0.450 [0.400, 0.500], 300 clips) and worst for men" in text
    assert expected in text


def test_a_single_subgroup_is_not_compared(records_with):
    by = {"gender": {"women": subgroup(WOMEN)}}
    text = entry(records_with(evaluation={"by": by}), "Results by subgroup")
    assert text == "By gender: all evaluated clips are women."
