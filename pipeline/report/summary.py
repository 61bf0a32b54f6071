"""Text summary of a run: training, scores, and comparison with the baselines."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from pipeline.core.number_format import METRIC_NAMES, count, metric_value
from pipeline.records.evaluation import EvaluationReport
from pipeline.records.summary import RIDGE_NOTE
from pipeline.report.headline import HEADLINE_METRICS, BaselineResult, Outcome, baseline_results
from pipeline.report.loading import RunRecords
from pipeline.report.wording import (
    capitalized,
    describe_values,
    display_name,
    duration,
    encoder_name,
    listing,
    monitor_name,
    with_interval,
)

_PHRASES: Final = {
    Outcome.BETTER: "better than {}",
    Outcome.AHEAD: "above {}, which may be chance",
    Outcome.EQUAL: "equal to {}",
    Outcome.BEHIND: "below {}, which may be chance",
    Outcome.WORSE: "worse than {}",
}
"""Outcome -> end of the sentence "By R², the model is ..."."""


def summarize(records: RunRecords) -> tuple[str, ...]:
    """Return the paragraphs of the summary. Facts that the records lack are omitted."""
    paragraphs = (_training(records), _scores(records), _group_leak(records))
    texts = (" ".join(paragraph) for paragraph in paragraphs)
    return tuple(text for text in texts if text)


def evaluated_clips(records: RunRecords, evaluation: EvaluationReport) -> str:
    """Describe the evaluated clips, e.g. `1,200 validation clips from 200 groups`."""
    groups = f"from {count(evaluation.num_groups, 'group')}"
    number = count(evaluation.num_clips)
    if evaluation.split == "all":
        return f"all {number} clips {groups}, training clips included"
    if is_cross_validated(records) and evaluation.split == "validation":
        return f"{number} clips {groups}, each predicted by a fold that was not trained on it"
    return f"{number} {evaluation.split} clips {groups}"


def is_cross_validated(records: RunRecords) -> bool:
    """Return True if the run used cross-validation."""
    return records.config is not None and records.config.training.num_folds > 0


def _training(records: RunRecords) -> Iterator[str]:
    config, summary, features = records.config, records.summary, records.features
    if config is not None:
        fusion = config.model.fusion
        model = "The model"
        if features is not None:
            num_streams = 1 if fusion.endswith("_only") else len(features.streams)
            model = f"The model has {count(num_streams, 'stream')} ({display_name(fusion)}). It"
        traits = "apparent personality traits of a person in a short clip"
        if features is not None:
            names = features.trait_names
            number = count(len(names), "apparent personality trait")
            traits = f"{number} of a person in a short clip ({listing(names)})"
        yield f"{model} predicts {traits}, each in [0,\N{NO-BREAK SPACE}1]."
    if summary is not None:
        yield (
            f"It has {count(summary.trainable_weights)} trainable weights and was trained on "
            f"{count(summary.num_clips.get('train', 0), 'clip')} from "
            f"{count(summary.num_groups.get('train', 0), 'group')}."
        )
    if features is not None:
        streams = [
            f"{name} features ({describe_values(each[1:])})"
            for name, each in features.streams.items()
        ]
        encoder = encoder_name(features.encoder)
        origin = f" (encoder: {encoder})" if encoder else ""
        yield f"Each clip has {listing(streams)}{origin}."
    seconds = records.time_logs.total_training_time if records.time_logs is not None else None
    took = f" and {duration(seconds)}" if seconds is not None else ""
    if summary is not None:
        yield f"Training took {count(summary.num_epochs, 'epoch')}{took}."
        if summary.is_ridge:
            yield capitalized(RIDGE_NOTE)
        elif summary.monitor.startswith("val_"):
            best = "" if summary.best_value is None else f" ({summary.best_value:.4g})"
            yield (
                f"The saved weights are from epoch {summary.best_epoch}, the best by "
                f"{monitor_name(summary.monitor)}{best}."
            )
        else:
            yield (
                "The saved weights are from the last epoch, because no clips were held out to "
                "select an epoch."
            )
    elif records.history is not None:
        epochs = count(len(records.history.epoch.epoch_numbers), "epoch")
        yield f"According to the logs, training took {epochs}{took} so far."


def _scores(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None:
        yield "There is no evaluation, so the quality of the model is unknown."
        return
    averages = [
        f"{METRIC_NAMES[metric]} is {with_interval(metric, evaluation.metrics[metric]['mean'])}"
        for metric in HEADLINE_METRICS
    ]
    note = "There are no intervals, because all clips are from one group."
    if evaluation.num_groups > 1:
        resamples = count(evaluation.num_resamples)
        note = (
            f"The brackets show {evaluation.interval_name}s from {resamples} resamples of whole "
            "groups."
        )
    yield (
        f"On {evaluated_clips(records, evaluation)}, {listing(averages)}, averaged over the "
        f"traits. {note}"
    )
    results = baseline_results(evaluation, is_ridge=records.is_ridge)
    for metric in HEADLINE_METRICS:
        yield from _compared([result for result in results if result.metric == metric])
    if results:
        yield "‘Better’ and ‘worse’ mean that the interval of the paired difference excludes 0."


def _compared(results: Sequence[BaselineResult]) -> Iterator[str]:
    """Yield one sentence that compares the model with all baselines in one metric."""
    order = list(Outcome)
    ranked = sorted(results, key=lambda result: order.index(result.outcome))
    parts = [
        _PHRASES[outcome].format(listing([_baseline_score(result) for result in group]))
        for outcome, group in groupby(ranked, key=lambda result: result.outcome)
    ]
    if parts:
        yield f"By {METRIC_NAMES[results[0].metric]}, the model is {'; it is '.join(parts)}."


def _baseline_score(result: BaselineResult) -> str:
    value = metric_value(result.metric, result.baseline_score.value)
    return f"{display_name(result.baseline)} ({value})"


def _group_leak(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None or "same_group_mean" not in evaluation.baselines:
        return
    leak = evaluation.baselines["same_group_mean"]
    scores = [
        f"{METRIC_NAMES[metric]} {metric_value(metric, leak[metric]['mean'].value)}"
        for metric in HEADLINE_METRICS
    ]
    yield (
        "For reference, the mean annotation of the other clips from the same group scores "
        f"{listing(scores)}. No model may use these annotations. This score shows the effect of "
        "the simplest leak: the model recognizes the person or the video."
    )
