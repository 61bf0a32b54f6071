"""Descriptions of runs, models and experiments in MLflow, in Markdown."""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from pipeline.core.errors import PipelineError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.traits import TraitLabel, describe_scores
from pipeline.records.data_description import read_data
from pipeline.records.evaluation import EvaluationReport, Interval, read_report

EXPERIMENT: Final = """\
Models that predict apparent personality. Each run is one trained model. Trials and folds are \
nested runs.

- `eval/val/...`: scores of the saved model, mean over traits, on the validation clips. Choose \
the columns `eval/val/r2` and `eval/val/r2_ridge` to see which runs are better than ridge \
regression on the same clips. `eval/test/...` are the scores on the test clips.
- `loss/...` and `per_epoch/...`: learning curves. `per_trait/...`: scores of each trait.
- The artifact `report.html` of a run has intervals, figures and caveats.
"""
"""Description of a new experiment."""

_LIMITS: Final = (
    "**Limits:** the scores are impressions that annotators had of people in short clips, not the "
    "personality of these people. Do not use them for decisions about people."
)
_LABELS: Final = {"accuracy": "accuracy", "ccc": "CCC", "r2": "R²"}
_BASELINES: Final = {
    "ridge": "ridge regression",
    "training_mean": "mean of the training clips",
    "same_group_mean": "other clips of the same group (uses labels)",
}


def join_paragraphs(paragraphs: Iterable[str]) -> str:
    """Join the paragraphs of a description, without the empty ones."""
    return "\n\n".join(text.strip() for text in paragraphs if text.strip())


def describe_headline(report: EvaluationReport) -> str:
    """Describe the scores of a model and of ridge regression in two sentences."""
    scores = ", ".join(
        f"{label} {_text(report.metrics[metric]['mean'])}" for metric, label in _LABELS.items()
    )
    text = (
        f"**{scores}** on {report.num_clips:,} {report.split} clips of {report.num_groups:,} "
        "groups, mean over traits."
    )
    if "ridge" in report.baselines:
        ridge = report.baselines["ridge"]
        values = ", ".join(
            f"{label} {ridge[metric]['mean'].value:.4f}" for metric, label in _LABELS.items()
        )
        text += f" Ridge regression: {values}."
    return text


def describe_report(report: EvaluationReport, traits: Sequence[TraitLabel]) -> str:
    """Describe an evaluation: scores, baselines, and the caveats of the data."""
    header = "|".join(("", "", *_LABELS.values(), ""))
    rows = [
        f"|{name}|{'|'.join(_text(scores[metric]['mean']) for metric in _LABELS)}|"
        for name, scores in (
            ("**model**", report.metrics),
            *((_BASELINES.get(name, name), each) for name, each in report.baselines.items()),
        )
    ]
    table = "\n".join((header, "|---" * (len(_LABELS) + 1) + "|", *rows))
    return join_paragraphs((describe_headline(report), table, *_caveats(report, traits)))


def describe_model(run: RunDirectory) -> str:
    """Describe the model of a run: scores, data, baselines and limits."""
    data = read_data(run.data_path)
    streams = ", ".join(f"{name} {tuple(shape[1:])}" for name, shape in data.streams.items())
    about = (
        f"Scores in [0, 1] for {', '.join(data.trait_names)}. Inputs per clip: {streams}. "
        f"The data set has {data.num_clips:,} clips; its hash is `{data.digest[:12]}`."
    )
    try:
        report = read_report(run.evaluation_path)
    except PipelineError:  # a model without held-out clips has no evaluation
        return join_paragraphs((about, *describe_scores(data.traits), _LIMITS))
    headline, *rest = describe_report(report, data.traits).split("\n\n")
    return join_paragraphs((headline, about, *rest, _LIMITS))


def _caveats(report: EvaluationReport, traits: Sequence[TraitLabel]) -> tuple[str, ...]:
    shared = [
        f"{overlap['shared_clips']:.0%} of the clips share a group with the training clips, so the "
        "scores are too good."
        for overlap in report.group_overlap.values()
        if overlap["shared_clips"]
    ]
    return (*shared[:1], *describe_scores(traits))


def _text(interval: Interval) -> str:
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        return f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
    return f"{interval.value:.4f}"
