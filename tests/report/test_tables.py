"""The tables of scores hold what the evaluation says."""

from pipeline.core.traits import FIRST_IMPRESSIONS, TRAITS
from pipeline.report.tables import (
    baseline_tables,
    coverage_tables,
    subgroup_tables,
    trait_table,
)

INTERVAL = "[0.400,\N{NO-BREAK SPACE}0.500]"


def row(table, heading):
    (found,) = [row for row in table.rows if row.heading == heading]
    return found


def test_every_trait_has_every_metric_with_its_interval(records_with):
    table = trait_table(records_with().evaluation)

    assert [row.heading for row in table.rows] == [*TRAITS, "mean"]
    assert table.columns == ("trait", "accuracy ↑", "MAE ↓", "MSE ↓", "R² ↑", "PCC ↑", "CCC ↑")
    openness = row(table, "openness")
    assert [cell.text for cell in openness.cells] == [
        "0.9100",
        "0.0900",
        "0.01200",
        "0.450",
        "0.680",
        "0.620",
    ]
    assert openness.cells[3].detail == INTERVAL


def test_the_table_of_traits_notes_which_are_scored_in_reverse(records_with):
    evaluation = records_with().evaluation
    assert "Neuroticism is scored in reverse" in trait_table(evaluation, FIRST_IMPRESSIONS).note
    assert "reverse" not in trait_table(evaluation).note


def test_the_mean_stands_out(records_with):
    table = trait_table(records_with().evaluation)

    assert [row.heading for row in table.rows if row.is_key] == ["mean"]


def test_the_model_stands_above_its_baselines(records_with):
    means, per_trait, _ = baseline_tables(records_with().evaluation)

    expected = ["this model", "training mean", "same-group mean *", "ridge regression"]
    assert [row.heading for row in means.rows] == expected
    assert [row.heading for row in per_trait.rows] == expected
    assert row(means, "ridge regression").cells[3].text == "0.300"
    assert row(per_trait, "this model").cells[0].detail == INTERVAL


def test_the_leak_is_explained_where_it_is_listed(records_with, scores):
    with_leak, *_ = baseline_tables(records_with().evaluation)
    without, *_ = baseline_tables(
        records_with(evaluation={"baselines": {"ridge": scores()}}).evaluation
    )

    assert "is no rival" in with_leak.note
    assert "is no rival" not in without.note


def test_paired_differences_stand_beside_the_baselines_that_are_to_be_beaten(records_with, scores):
    differences = {name: scores(r2=(0.15, -0.01, 0.31)) for name in ("same_group_mean", "ridge")}

    *_, table = baseline_tables(records_with(differences=differences).evaluation)

    assert [row.heading for row in table.rows] == ["training mean", "ridge regression"]
    assert row(table, "ridge regression").cells[3].detail.startswith("[−0.010,")


def test_without_baselines_there_is_no_table_of_them(records_with):
    assert baseline_tables(records_with(evaluation={"baselines": {}}).evaluation) == ()


def test_subgroups_tell_their_size_and_warn_of_few_groups(records_with, scores):
    by = {
        "gender": {
            "a": {"num_clips": 1200, "num_groups": 60, "metrics": scores()},
            "b": {"num_clips": 9, "num_groups": 3, "metrics": scores(r2=(0.1, None, None))},
        }
    }

    (table,) = subgroup_tables(records_with(evaluation={"by": by}).evaluation)

    assert table.caption == "By gender"
    assert [cell.text for cell in row(table, "a").cells[:2]] == ["1,200", "60"]
    assert row(table, "b").cells[5].text == "0.100"
    assert row(table, "b").cells[5].detail == ""
    assert "fewer than 30 groups" in table.note


def test_prediction_intervals_are_told_with_their_coverage_and_width(records_with):
    (table,) = coverage_tables(records_with().evaluation)

    assert [row.heading for row in table.rows] == [*TRAITS, "mean"]
    covered, width = row(table, "mean").cells
    assert (covered.text, covered.detail) == ("0.905", "[0.885,\N{NO-BREAK SPACE}0.925]")
    assert width.text == "0.353"
    assert "250 groups: groups that were neither trained nor calibrated on" in table.note


def test_intervals_that_were_not_measured_have_no_table(records_with):
    assert coverage_tables(records_with(evaluation={"intervals": None}).evaluation) == ()
