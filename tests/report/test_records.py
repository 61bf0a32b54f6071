"""Files become typed records; what cannot be used is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.seeds import generator
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.report import build_report
from pipeline.evaluation.speed_advice import Recommendation as SpeedRecommendation
from pipeline.report.records import FILES, parse_records

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "epoch", "metrics", "split", "epoch_times", "issue"]), inner
        )
    ),
    max_leaves=8,
)


def test_a_whole_run_has_no_problems(contents):
    records = parse_records(contents, name="run")

    assert records.problems == ()
    assert records.summary.best_epoch == 17
    assert records.evaluation.metrics["r2"]["mean"].low == 0.40
    assert records.config.training.num_epochs == 20


@pytest.mark.parametrize("file", [name for name in FILES if "recommendations" not in name])
def test_a_missing_file_is_named(contents, file):
    del contents[file]

    assert parse_records(contents, name="run").problems == (
        f"{file}: the run does not have this file.",
    )


def test_recommendations_need_not_be_there(contents):
    del contents["training_time_analysis/training_speedup_recommendations.json"]

    records = parse_records(contents, name="run")

    assert records.recommendations is None
    assert records.problems == ()


def test_a_damaged_file_is_named_and_the_others_count(contents):
    del contents["summary.json"]["best_epoch"]

    records = parse_records(contents, name="run")

    assert records.summary is None
    assert records.evaluation is not None
    assert records.problems == ("summary.json: cannot be used (best_epoch: field required).",)


def test_an_unreadable_file_is_named_with_its_reason(contents):
    del contents["data.json"]

    records = parse_records(contents, name="run", unreadable={"data.json": "is cut off."})

    assert records.problems == ("data.json: is cut off.",)


def test_scores_without_one_trait_are_refused(contents):
    del contents["evaluation.json"]["baselines"]["ridge"]["ccc"]["openness"]

    records = parse_records(contents, name="run")

    assert records.evaluation is None
    assert "has no ccc of openness" in records.problems[0]


def test_a_configuration_of_another_version_is_named(contents):
    contents["config.yaml"]["model"]["attention_kind"] = "new"

    records = parse_records(contents, name="run")

    assert records.config is None
    assert "config.yaml: cannot be used (model.attention_kind" in records.problems[0]


def test_the_null_ends_of_an_interval_are_no_interval(contents, scores):
    contents["evaluation.json"]["metrics"] = scores(r2=(0.4, None, None))

    records = parse_records(contents, name="run")

    assert records.evaluation.metrics["r2"]["mean"].low is None


@given(file=st.sampled_from(sorted(FILES)), content=JSON)
def test_whatever_a_file_holds_it_is_used_or_named(file, content):
    records = parse_records({file: content}, name="run")

    field, _ = FILES[file]
    assert (getattr(records, field) is None) == any(
        problem.startswith(f"{file}: cannot be used") for problem in records.problems
    )


def test_what_evaluation_writes_is_what_the_report_reads(contents):
    draw = generator(0, "report")
    truth = draw.uniform(size=(12, 5))
    report = build_report(
        Predictions(
            clip_ids=[f"clip-{row}" for row in range(12)],
            groups=[f"group-{row // 3}" for row in range(12)],
            y_true=truth,
            y_pred=np.full_like(truth, 0.5),
        ),
        {"ridge": truth},
        split="validation",
        by={"gender": ["a", "b"] * 6},
        group_overlap={"train/validation": {"shared_groups": 0, "shared_clips": 0.0}},
        num_resamples=100,
        seed=0,
    )
    contents["evaluation.json"] = report.to_json()

    records = parse_records(contents, name="run")

    assert records.problems == ()
    assert records.evaluation.by["gender"]["b"].num_clips == 6
    assert records.evaluation.baselines["ridge"]["r2"]["mean"].value == 1.0


def test_what_the_time_rules_write_is_what_the_report_reads(contents):
    found = SpeedRecommendation(
        issue="Validation is long",
        details="It takes 40 % of an epoch.",
        evidence={"validation_share": 0.4},
        advice="Validate on fewer clips.",
        gain_seconds=20.0,
        expected_gain="20 s of 60 s.",
    )
    advice = "training_time_analysis/training_speedup_recommendations.json"
    contents[advice] = [found.to_json()]

    (recommendation,) = parse_records(contents, name="run").recommendations

    assert recommendation.recommendation == "Validate on fewer clips."
    assert recommendation.details == "It takes 40 % of an epoch."


def test_paired_differences_of_another_form_are_named(contents):
    contents["evaluation.json"]["baseline_differences"] = {"ridge": 3}

    records = parse_records(contents, name="run")

    assert records.evaluation is None
    assert records.problems[0].startswith("evaluation.json: cannot be used (baseline_differences")
