"""What to distrust in a run: each doubt rests on what its records say, with the numbers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.core.number_format import METRIC_NAMES, count, decimal
from pipeline.core.traits import TRAITS
from pipeline.records.evaluation import Overlap
from pipeline.report.loading import RunRecords
from pipeline.report.summary import is_cross_validated
from pipeline.report.verdicts import Standing, Verdict, judge
from pipeline.report.wording import (
    baseline_name,
    difference,
    listing,
    percent,
    plain,
    sentence,
    with_interval,
)

MIN_GROUPS: Final = 30
"""Fewer groups than this make a percentile interval too narrow.

Reference: Cameron, Gelbach & Miller, 2008 (doi:10.1162/rest.90.3.414): tests with 5 to 30
    clusters reject too often.
"""

MIN_LABEL_SD: Final = 0.02
"""Standard deviation below which annotated scores count as nearly constant.

This is 2 % of the scale; the scores of First Impressions have about 0.14.
"""

MIN_RATIO: Final = 0.1
"""Predictions with less than this share of the annotations' standard deviation are constant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """One reason to trust the numbers less."""

    title: str
    """The doubt, in a few words."""
    detail: str
    """What it rests on, and what would settle it."""
    is_serious: bool = False
    """Whether the scores may be wrong, not only less certain than they look."""


def find_doubts(records: RunRecords) -> tuple[Doubt, ...]:
    """Return what there is to distrust, the serious first."""
    doubts = [doubt for rule in _RULES for doubt in rule(records)]
    return tuple(sorted(doubts, key=lambda doubt: not doubt.is_serious))


def _not_finished(records: RunRecords) -> Iterator[Doubt]:
    if records.status in ("FAILED", "KILLED"):
        yield Doubt(
            title="The run did not end in order",
            detail=f"Its run log says {records.status}. Continue it with `train --resume`.",
            is_serious=True,
        )
    elif records.summary is None and records.history is not None and records.config is not None:
        done = len(records.history.epoch.epoch_numbers)
        yield Doubt(
            title="The run is not finished",
            detail=f"{done} of {count(records.config.training.num_epochs, 'epoch')} are on "
            "record, and no summary. Continue it with `train --resume`.",
            is_serious=True,
        )


def _shared_groups(records: RunRecords) -> Iterator[Doubt]:
    evaluates_all = records.evaluation is not None and records.evaluation.split == "all"
    for pair, overlap in _overlaps(records).items():
        if not overlap["shared_groups"] or (evaluates_all and pair == "train/evaluated"):
            continue
        first, _, second = pair.partition("/")
        yield Doubt(
            title=f"{sentence(first)} and {second} clips share groups",
            detail=f"{count(int(overlap['shared_groups']), 'group')} are on both sides, and with "
            f"them {percent(overlap['shared_clips'])} of the {second} clips. A model is then "
            "scored for recognising whom it has seen. Split by group.",
            is_serious=first == "train",
        )


def _training_clips(records: RunRecords) -> Iterator[Doubt]:
    if records.evaluation is not None and records.evaluation.split == "all":
        yield Doubt(
            title="The scores are on all clips",
            detail="Where these are the clips of the training set, the model has seen most of "
            "them, and the scores say little about new ones. Evaluate on `validation` or `test`.",
            is_serious=True,
        )


def _no_groups(records: RunRecords) -> Iterator[Doubt]:
    evaluation, features = records.evaluation, records.features
    if features is not None and not any(source.endswith(".csv") for source in features.sources):
        yield Doubt(
            title="No groups are known",
            detail="The features come without a clip table, so the clips were split one by one. "
            "Where several are of one video or person, every score and every interval here is "
            "too good. Give a clips.csv with clip_id and group.",
            is_serious=True,
        )
    elif evaluation is not None and evaluation.num_groups == evaluation.num_clips:
        yield Doubt(
            title="Each clip is a group of its own",
            detail=f"{count(evaluation.num_clips)} clips have as many groups. That is right if no "
            "two are of one video or person; if some are, the split could not keep them together.",
        )


def _few_groups(records: RunRecords) -> Iterator[Doubt]:
    if records.evaluation is None or records.evaluation.num_groups >= MIN_GROUPS:
        return
    number = records.evaluation.num_groups
    yield Doubt(
        title=f"Only {count(number, 'group')}",
        detail=f"The scores rest on {count(number, 'independent group')}; below {MIN_GROUPS}, "
        "the intervals are narrower than they claim to be. Evaluate on more groups.",
        is_serious=True,
    )


def _chosen_on_these_clips(records: RunRecords) -> Iterator[Doubt]:
    evaluation, summary = records.evaluation, records.summary
    if evaluation is None or evaluation.split != "validation":
        return
    if is_cross_validated(records):
        detail = (
            "Each fold kept its best epoch by the clips that it is scored on, which makes the "
            "scores a little too good."
        )
    elif summary is not None and summary.num_epochs > 1:
        detail = (
            f"The epoch was chosen among {summary.num_epochs} by {summary.monitor} on the clips "
            "that the scores are about, which makes them a little too good."
        )
    else:
        return
    yield Doubt(
        title="The clips that chose the epoch are the clips that score it",
        detail=f"{detail} For a number to publish, evaluate once on a test split.",
    )


def _pooled_over_folds(records: RunRecords) -> Iterator[Doubt]:
    evaluation = records.evaluation
    if evaluation is None or evaluation.split != "validation":
        return
    if is_cross_validated(records):
        yield Doubt(
            title="The scores are pooled over folds",
            detail="The model of a fold starts from the mean of its training clips, which is low "
            "where its held-out clips are high. Over all folds together that makes PCC, CCC and R² "
            "a little too low, most of all those of a model that knows little.",
        )


def _best_epoch_at_an_end(records: RunRecords) -> Iterator[Doubt]:
    summary = records.summary
    if summary is None or summary.num_epochs < 2 or not summary.monitor.startswith("val_"):
        return
    if summary.best_epoch == summary.num_epochs:
        yield Doubt(
            title="The best epoch is the last",
            detail=f"Training ended after {summary.num_epochs} epochs while {summary.monitor} was "
            "still improving. Train for longer.",
        )
    if summary.best_epoch == 1:
        yield Doubt(
            title="The best epoch is the first",
            detail=f"None of the {summary.num_epochs - 1} epochs after it improved "
            f"{summary.monitor}. Lower the learning rate, or look for overfitting.",
        )


def _constant_traits(records: RunRecords) -> Iterator[Doubt]:
    predictions = records.predictions
    if predictions is None or predictions.y_true is None:
        return
    flat_truth, flat_scores = [], []
    spreads = zip(predictions.y_true.std(axis=0), predictions.y_pred.std(axis=0), strict=True)
    for trait, (truth, predicted) in zip(TRAITS, spreads, strict=True):
        if truth < MIN_LABEL_SD:
            flat_truth.append(f"{trait} (standard deviation {decimal(truth, 3)})")
        elif predicted < MIN_RATIO * truth:
            flat_scores.append(f"{trait} ({percent(predicted / truth)})")
    if flat_truth:
        yield Doubt(
            title="Annotations are nearly constant",
            detail=f"There is next to nothing to predict in {listing(flat_truth)}; R² and "
            "correlations mean little there, and the averages over the traits suffer.",
            is_serious=True,
        )
    if flat_scores:
        yield Doubt(
            title="Predictions are nearly constant",
            detail=f"The model says nearly the same of everyone in {listing(flat_scores)}: in "
            "brackets, its spread as a share of the annotations'.",
            is_serious=True,
        )


def _baselines_not_beaten(records: RunRecords) -> Iterator[Doubt]:
    open_ = [verdict for verdict in judge(records) if verdict.standing is not Standing.BETTER]
    for baseline in dict.fromkeys(verdict.baseline for verdict in open_):
        verdicts = [verdict for verdict in open_ if verdict.baseline == baseline]
        worse = [verdict for verdict in verdicts if verdict.standing is Standing.WORSE]
        metrics = listing([METRIC_NAMES[verdict.metric] for verdict in worse or verdicts])
        claim = "Worse than" if worse else "Not shown to be better than"
        values = [_told_apart(verdict) for verdict in verdicts]
        yield Doubt(
            title=f"{claim} {baseline_name(baseline)} in {metrics}",
            detail=f"{sentence('; '.join(values))}. These clips do not show that the network adds "
            "anything to it.",
            is_serious=bool(worse) or baseline == "training_mean",
        )


def _told_apart(verdict: Verdict) -> str:
    metric = verdict.metric
    told = " ".join(difference(metric, verdict.difference)).rstrip()
    return (
        f"{METRIC_NAMES[metric]} {with_interval(metric, verdict.model)} against "
        f"{with_interval(metric, verdict.reference)}, a difference of {told}"
    )


def _features_of_unknown_worth(records: RunRecords) -> Iterator[Doubt]:
    config, features = records.config, records.features
    if config is not None and config.data.synthetic is not None:
        yield Doubt(
            title="The clips are synthetic",
            detail="The scores show that a planted signal is found. They say nothing about people.",
        )
    if features is None:
        return
    if has_random_weights(features.encoder):
        yield Doubt(
            title="The encoder has random weights",
            detail=f"The features were made by an untrained network ({plain(features.encoder)}); "
            "they hold little of what a face shows. Extract them with trained weights.",
            is_serious=True,
        )
    elif features.encoder in ("unknown", "", None):
        yield Doubt(
            title="The encoder is unknown",
            detail="The feature set does not say what made its features (`encoder` in "
            "features.json), so they cannot be made again, and nothing shows that new clips are "
            "described in the same way.",
        )


def _ruined_features(records: RunRecords) -> Iterator[Doubt]:
    for warning in records.features.warnings if records.features is not None else ():
        yield Doubt(title=warning.title, detail=warning.detail, is_serious=True)


def _reversed_traits(records: RunRecords) -> Iterator[Doubt]:
    for trait in records.features.traits if records.features is not None else ():
        if trait.is_reversed:
            yield Doubt(
                title=f"{sentence(trait.name)} is scored in reverse",
                detail=f"{trait.note} Reverse the scores (1 − score) before they are compared with "
                "data that scores the trait itself, and say so.",
            )


def _layers_frozen_at_random(records: RunRecords) -> Iterator[Doubt]:
    layers = records.summary.frozen_at_random if records.summary is not None else ()
    if layers:
        yield Doubt(
            title="Layers are frozen with random weights",
            detail=f"{listing(list(layers))} never learned: what passes through is mixed at "
            "random. Take them out of `training.frozen`, or load weights that are trained.",
            is_serious=True,
        )


def has_random_weights(encoder: Any) -> bool:
    """Return whether the description of an encoder, or of a part of it, says `random`.

    Encoders without weights, such as HOG, have none to train and say so otherwise.
    """
    if isinstance(encoder, Mapping):
        return any(has_random_weights(part) for part in encoder.values())
    if isinstance(encoder, list | tuple):
        return any(has_random_weights(part) for part in encoder)
    return isinstance(encoder, str) and "random" in encoder.lower()


def _one_seed(records: RunRecords) -> Iterator[Doubt]:
    seed = records.summary.seed if records.summary is not None else None
    if seed is not None:
        yield Doubt(
            title="One seed",
            detail=f"The model was trained once, with seed {seed}. The intervals tell how the "
            "scores vary with the clips, not how they vary with another start. Train with "
            "further seeds before two settings are compared.",
        )


def _unknown_code(records: RunRecords) -> Iterator[Doubt]:
    if records.environment is None:
        return
    git = records.environment.git
    if not git.commit:
        detail = "The run was not started from a git checkout, so its code is not on record."
    elif git.is_dirty:
        detail = f"The code was changed after commit {git.commit[:12]}; the changes are not kept."
    else:
        return
    yield Doubt(title="The code cannot be had again for certain", detail=detail)


def _overlaps(records: RunRecords) -> Mapping[str, Overlap]:
    """Return what the sides share; what an evaluation has measured is newer than a summary."""
    summary = records.summary.group_overlap if records.summary is not None else {}
    evaluation = records.evaluation.group_overlap if records.evaluation is not None else {}
    return {**summary, **evaluation}


_RULES: Final[tuple[Callable[[RunRecords], Iterator[Doubt]], ...]] = (
    _not_finished,
    _training_clips,
    _shared_groups,
    _no_groups,
    _few_groups,
    _constant_traits,
    _ruined_features,
    _reversed_traits,
    _baselines_not_beaten,
    _features_of_unknown_worth,
    _layers_frozen_at_random,
    _chosen_on_these_clips,
    _pooled_over_folds,
    _best_epoch_at_an_end,
    _one_seed,
    _unknown_code,
)
