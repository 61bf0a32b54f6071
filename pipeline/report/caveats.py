"""Caveats of a run. Each caveat is a reason why the scores are less reliable, with evidence."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pipeline.core.number_format import METRIC_NAMES, count, decimal
from pipeline.data.groups import describe_groups
from pipeline.records.summary import RIDGE_NOTE
from pipeline.report.headline import BaselineResult, Outcome, baseline_results
from pipeline.report.loading import RunRecords
from pipeline.report.summary import is_cross_validated
from pipeline.report.wording import (
    UNKNOWN_ENCODERS,
    capitalized,
    difference,
    display_name,
    format_value,
    listing,
    monitor_name,
    percent,
    with_interval,
)

MIN_GROUPS: Final = 30
"""Minimum number of groups for percentile intervals. Intervals from fewer groups are too narrow.

Reference: Cameron, Gelbach & Miller, 2008 (doi:10.1162/rest.90.3.414): tests with 5 to 30
    clusters reject too often.
"""

MIN_LABEL_SD: Final = 0.02
"""Minimum standard deviation of annotated scores. In First Impressions, the standard deviation is
about 0.14."""

MIN_SD_RATIO: Final = 0.1
"""Minimum standard deviation of predicted scores, divided by that of annotated scores."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Caveat:
    """Reason why the scores of a run are less reliable."""

    title: str
    detail: str
    """Evidence for the caveat, and a remedy."""
    is_serious: bool = False
    """True if the scores may be wrong. False if they are only less certain."""


_serious = partial(Caveat, is_serious=True)


def find_caveats(records: RunRecords) -> tuple[Caveat, ...]:
    """Return all caveats of a run: unknown groups first, then serious caveats, then the others."""
    caveats = [caveat for rule in _RULES for caveat in rule(records)]
    ranked = sorted(caveats, key=lambda caveat: not caveat.is_serious)
    return (*_unknown_groups(records), *ranked)


def _unfinished(records: RunRecords) -> Iterator[Caveat]:
    if records.status in ("FAILED", "KILLED"):
        yield _serious(
            title="The run failed or was killed",
            detail=f"The last status in the run log is {records.status}. Continue the run with "
            "`train --resume`.",
        )
    elif records.summary is None and records.history is not None and records.config is not None:
        done = len(records.history.epoch.epoch_numbers)
        yield _serious(
            title="The run is not finished",
            detail="There is no summary, and the logs contain only "
            f"{done} of {count(records.config.training.num_epochs, 'epoch')}. Continue the run "
            "with `train --resume`.",
        )


def _evaluated_clips(records: RunRecords) -> Iterator[Caveat]:
    evaluation = records.evaluation
    if evaluation is None:
        return
    if evaluation.split == "all":
        yield _serious(
            title="The scores are from all clips",
            detail="If these include the training clips, the scores do not apply to new clips. "
            "Evaluate on `validation` or `test`.",
        )
    if evaluation.num_groups < MIN_GROUPS:
        groups = count(evaluation.num_groups, "group")
        yield _serious(
            title=f"Only {groups}",
            detail=f"The evaluated clips are from {groups}. Intervals from fewer than {MIN_GROUPS} "
            "groups are too narrow. Evaluate on more groups.",
        )


def _shared_groups(records: RunRecords) -> Iterator[Caveat]:
    evaluation, summary = records.evaluation, records.summary
    overlaps = dict(summary.group_overlap) if summary is not None else {}
    if evaluation is not None:
        overlaps |= evaluation.group_overlap  # the evaluation is newer than the summary
        if evaluation.split == "all":
            overlaps.pop("train/evaluated", None)
    for pair, overlap in overlaps.items():
        if overlap["shared_groups"]:
            first, _, second = pair.partition("/")
            yield Caveat(
                title=f"{capitalized(first)} and {second} clips share groups",
                detail=f"{count(int(overlap['shared_groups']), 'group')} are in both subsets. They "
                f"contain {percent(overlap['shared_clips'])} of the {second} clips. The "
                "scores are then too good for a model that recognizes people or videos. Split "
                "the clips by group.",
                is_serious=first == "train",
            )


def _unknown_groups(records: RunRecords) -> Iterator[Caveat]:
    features = records.features
    if features is not None and not any(source.endswith(".csv") for source in features.sources):
        yield _serious(
            title="The groups are unknown",
            detail="The feature set has no clip table, so the split does not keep groups together. "
            "If several clips show one video or person, all scores are too good and all intervals "
            "are too narrow. Add a clips.csv with the columns clip_id and group.",
        )
    elif num_clips := _num_ungrouped_clips(records):
        yield Caveat(
            title="Every clip counts as a different person",
            detail=f"{describe_groups(num_clips, num_clips, is_prepared=True)} Without the right "
            "groups, a person can be in several subsets. All scores are then too good, and all "
            "intervals are too narrow.",
        )


def _num_ungrouped_clips(records: RunRecords) -> int:
    """Return the number of clips if each of them is its own group; else 0."""
    evaluation, summary = records.evaluation, records.summary
    num_clips = 0
    if evaluation is not None:
        if evaluation.num_groups < evaluation.num_clips:
            return 0
        num_clips = evaluation.num_clips
    if summary is not None:
        is_shared = any(overlap["shared_groups"] for overlap in summary.group_overlap.values())
        if summary.num_groups != summary.num_clips or is_shared:
            return 0
        num_clips = sum(summary.num_clips.values())
    return num_clips


def _epoch_selection(records: RunRecords) -> Iterator[Caveat]:
    evaluation, summary = records.evaluation, records.summary
    if evaluation is None or evaluation.split != "validation":
        return
    if is_cross_validated(records):
        evidence = "In each fold, the best epoch was selected on the scored clips."
    elif summary is not None and summary.num_epochs > 1:
        evidence = (
            f"The best of {summary.num_epochs} epochs was selected by "
            f"{monitor_name(summary.monitor)} on the scored clips."
        )
    else:
        return
    yield Caveat(
        title="The scored clips were also used to select the epoch",
        detail=f"{evidence} This makes the scores slightly too good. Before publication, evaluate "
        "once on a test split.",
    )
    if is_cross_validated(records):
        yield Caveat(
            title="The scores are pooled over folds",
            detail="In each fold, the mean of the predictions is close to the mean of the training "
            "clips. This mean is low if the mean of the held-out clips is high. The pooled PCC, "
            "CCC and R² are therefore slightly too low, mostly for weak models.",
        )


def _best_epoch_at_an_end(records: RunRecords) -> Iterator[Caveat]:
    summary = records.summary
    if summary is None or not summary.monitor.startswith("val_"):
        return
    monitor = monitor_name(summary.monitor)
    if summary.is_ridge:
        yield Caveat(
            title="The model is a ridge regression",
            detail=f"{capitalized(RIDGE_NOTE)} Train on more clips, or set model.linear_start to "
            "zero.",
        )
    if summary.num_epochs < 2:
        return
    if summary.best_epoch == summary.num_epochs:
        yield Caveat(
            title="The best epoch is the last epoch",
            detail=f"After {summary.num_epochs} epochs, {monitor} was still improving. "
            "Train longer.",
        )
    if summary.best_epoch == 1:
        yield Caveat(
            title="The best epoch is the first epoch",
            detail=f"The other {summary.num_epochs - 1} epochs did not improve {monitor}. "
            "Lower the learning rate, or check for overfitting.",
        )


def _constant_traits(records: RunRecords) -> Iterator[Caveat]:
    predictions = records.predictions
    if predictions is None or predictions.y_true is None:
        return
    flat_truth, flat_scores = [], []
    spreads = zip(predictions.y_true.std(axis=0), predictions.y_pred.std(axis=0), strict=True)
    for trait, (truth, predicted) in zip(predictions.trait_names, spreads, strict=True):
        if truth < MIN_LABEL_SD:
            flat_truth.append(f"{trait} (standard deviation {decimal(truth, 3)})")
        elif predicted < MIN_SD_RATIO * truth:
            flat_scores.append(f"{trait} ({percent(predicted / truth)})")
    if flat_truth:
        yield _serious(
            title="Annotations are nearly constant",
            detail=f"The annotated scores hardly vary in {listing(flat_truth)}. R² and "
            "correlations are not meaningful for such a trait. They affect the averages over "
            "the traits.",
        )
    if flat_scores:
        yield _serious(
            title="Predictions are nearly constant",
            detail=f"The predictions hardly vary in {listing(flat_scores)}. Brackets: "
            "ratio of the standard deviations, predictions to annotations.",
        )


def _baselines_not_beaten(records: RunRecords) -> Iterator[Caveat]:
    results = [
        result
        for result in baseline_results(records.evaluation, is_ridge=records.is_ridge)
        if result.outcome is not Outcome.BETTER
    ]
    for baseline in dict.fromkeys(result.baseline for result in results):
        found = [result for result in results if result.baseline == baseline]
        worse = [result for result in found if result.outcome is Outcome.WORSE]
        metrics = listing([METRIC_NAMES[result.metric] for result in worse or found])
        claim = "Worse than" if worse else "Not shown to be better than"
        yield Caveat(
            title=f"{claim} {display_name(baseline)} in {metrics}",
            detail=f"{capitalized('; '.join(map(_scores, found)))}. These scores do not show that "
            "the model is better than this baseline.",
            is_serious=bool(worse) or baseline == "training_mean",
        )


def _scores(result: BaselineResult) -> str:
    metric = result.metric
    gain = " ".join(difference(metric, result.difference)).rstrip()
    return (
        f"{METRIC_NAMES[metric]} is {with_interval(metric, result.model_score)} for the model and "
        f"{with_interval(metric, result.baseline_score)} for the baseline, the difference is {gain}"
    )


def _features(records: RunRecords) -> Iterator[Caveat]:
    config, features = records.config, records.features
    if config is not None and config.data.synthetic is not None:
        yield Caveat(
            title="The clips are synthetic",
            detail="The scores show that the model finds a planted signal. They do not apply to "
            "people.",
        )
    if features is None:
        return
    for warning in features.warnings:
        yield Caveat(title=warning.title, detail=warning.detail, is_serious=True)
    for trait in features.traits:
        if trait.is_reversed:
            yield Caveat(
                title=f"{capitalized(trait.name)} is scored in reverse",
                detail=f"{trait.meaning} Some other data are not reversed. Before a "
                "comparison with such data, use 1 − score, and report this.",
            )
    if _has_random_weights(features.encoder):
        yield _serious(
            title="The encoder has random weights",
            detail=f"The features are from an untrained network: {format_value(features.encoder)}. "
            "They contain little information about the face. Use trained weights for extraction.",
        )
    elif features.encoder in UNKNOWN_ENCODERS:
        yield Caveat(
            title="The encoder is unknown",
            detail="The feature set does not name its encoder (`encoder` in features.json). The "
            "features cannot be reproduced, and new clips may need another encoder.",
        )


def _has_random_weights(encoder: Any) -> bool:
    """Return True if any value of an encoder description contains the word `random`."""
    if isinstance(encoder, Mapping):
        return any(_has_random_weights(part) for part in encoder.values())
    if isinstance(encoder, list | tuple):
        return any(_has_random_weights(part) for part in encoder)
    return isinstance(encoder, str) and "random" in encoder.lower()


def _training(records: RunRecords) -> Iterator[Caveat]:
    summary = records.summary
    if summary is None:
        return
    if summary.frozen_at_random:
        yield _serious(
            title="Layers are frozen with random weights",
            detail=f"{listing(list(summary.frozen_at_random))} were not trained. Remove them from "
            "`training.frozen`, or load trained weights.",
        )
    if summary.seed is not None:
        yield Caveat(
            title="One seed",
            detail=f"The model was trained once, with seed {summary.seed}. The intervals show the "
            "variation over clips, not over random initializations. Before you compare two "
            "settings, train with more seeds.",
        )


def _unknown_code(records: RunRecords) -> Iterator[Caveat]:
    git = records.environment.git if records.environment is not None else None
    if git is None or (git.commit and not git.is_dirty):
        return
    detail = "The run was not started from a git checkout, so its code is not recorded."
    if git.commit:
        detail = f"The code had uncommitted changes after commit {git.commit[:12]}."
    yield Caveat(title="The code may not be reproducible", detail=detail)


_RULES: Final[tuple[Callable[[RunRecords], Iterator[Caveat]], ...]] = (
    _unfinished,
    _evaluated_clips,
    _shared_groups,
    _constant_traits,
    _baselines_not_beaten,
    _features,
    _epoch_selection,
    _best_epoch_at_an_end,
    _training,
    _unknown_code,
)
