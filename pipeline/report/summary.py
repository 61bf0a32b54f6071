"""The run in words: what was trained, on what, and how good it is against which baselines."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from pipeline.core.number_format import METRIC_NAMES, count, metric_value
from pipeline.records.evaluation import EvaluationReport
from pipeline.records.summary import Summary
from pipeline.report.loading import RunRecords
from pipeline.report.verdicts import HEADLINE_METRICS, Standing, Verdict, judge
from pipeline.report.wording import (
    baseline_name,
    duration,
    encoder_name,
    fusion_name,
    listing,
    sentence,
    shape,
    with_interval,
)

_PHRASES = {
    Standing.BETTER: "better than {}",
    Standing.AHEAD: "above {}, which is not shown to be more than chance",
    Standing.LEVEL: "level with {}",
    Standing.BEHIND: "below {}, which is not shown to be more than chance",
    Standing.WORSE: "worse than {}",
}
"""How a standing continues the sentence "By R², the model is ..."."""


_CLAIMS = (
    ("worse than", frozenset({Standing.WORSE})),
    ("not shown to be better than", frozenset({Standing.AHEAD, Standing.LEVEL, Standing.BEHIND})),
    ("better than", frozenset({Standing.BETTER})),
)
"""What a headline says of each standing, the bad news first."""


def headline(records: RunRecords) -> str:
    """Return the result in one line, the bad news first, no better than the evidence allows."""
    if records.evaluation is None:
        return "No scores on held-out clips are known"
    verdicts = judge(records)
    claims = [_claim(verdicts, words, standings) for words, standings in _CLAIMS]
    told = "; ".join(claim for claim in claims if claim)
    return sentence(told) or "Not compared with any baseline"


def summarize(records: RunRecords) -> tuple[str, ...]:
    """Return the paragraphs of the summary; what is not known is left out."""
    paragraphs = (
        " ".join(_what_was_trained(records)),
        " ".join(_how_good_it_is(records)),
        " ".join(_what_a_leak_would_buy(records)),
    )
    return tuple(paragraph for paragraph in paragraphs if paragraph)


def evaluated_clips(records: RunRecords, evaluation: EvaluationReport) -> str:
    """Return which clips an evaluation is about, e.g. `1,200 validation clips of 200 groups`."""
    groups = f"of {count(evaluation.num_groups, 'group')}"
    number = count(evaluation.num_clips)
    if evaluation.split == "all":
        return f"all {number} clips {groups}, training clips included"
    if is_cross_validated(records) and evaluation.split == "validation":
        return f"{number} clips {groups}, each predicted by a fold that had not seen it"
    return f"{number} {evaluation.split} clips {groups}"


def is_cross_validated(records: RunRecords) -> bool:
    """Return whether the scores come from cross-validation folds."""
    return records.config is not None and records.config.training.num_folds > 0


def _what_was_trained(records: RunRecords) -> Iterator[str]:
    config, summary, features = records.config, records.summary, records.features
    if config is not None:
        model = config.model.fusion
        streams = "one stream" if model.endswith("_only") else "two streams"
        yield (
            f"A model of {streams} ({fusion_name(model)}) was trained to predict the five apparent "
            "personality traits of a person in a short clip, each in [0,\N{NO-BREAK SPACE}1]."
        )
    if summary is not None:
        yield (
            f"It has {count(summary.trainable_weights)} trainable weights and was fitted on "
            f"{count(summary.num_clips.get('train', 0), 'clip')} of "
            f"{count(summary.num_groups.get('train', 0), 'group')}."
        )
    if features is not None:
        yield (
            f"Each clip has static features of shape {shape(features.static_shape[1:])} and "
            f"dynamic ones of shape {shape(features.dynamic_shape[1:])} "
            f"(encoder: {encoder_name(features.encoder)})."
        )
    yield from _how_training_went(records)


def _how_training_went(records: RunRecords) -> Iterator[str]:
    summary, times = records.summary, records.time_logs
    seconds = times.total_training_time if times is not None else None
    took = f", and took {duration(seconds)}" if seconds is not None else ""
    if summary is not None:
        epochs = count(summary.num_epochs, "epoch")
        yield f"Training went over {epochs}{took}; the weights kept are {_kept_weights(summary)}."
    elif records.history is not None:
        epochs = count(len(records.history.epoch.epoch_numbers), "epoch")
        yield f"Training went over {epochs}{took}, as far as is on record."


def _kept_weights(summary: Summary) -> str:
    if not summary.monitor.startswith("val_"):
        return "the last ones, as no clips were held out to choose an epoch by"
    best = "" if summary.best_value is None else f" ({summary.best_value:.4g})"
    return f"those of epoch {summary.best_epoch}, the best by {summary.monitor}{best}"


def _how_good_it_is(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None:
        yield "No evaluation is at hand, so nothing can be said of how good the model is."
        return
    averages = [
        f"{METRIC_NAMES[metric]} is {with_interval(metric, evaluation.metrics[metric]['mean'])}"
        for metric in HEADLINE_METRICS
    ]
    yield (
        f"On {evaluated_clips(records, evaluation)}, {listing(averages)} on average over the "
        f"traits{_interval_note(evaluation)}."
    )
    verdicts = judge(records)
    for metric in HEADLINE_METRICS:
        yield from _compared([verdict for verdict in verdicts if verdict.metric == metric])
    if verdicts:
        yield (
            "‘Better’ and ‘worse’ are said only where the interval of the paired difference "
            "excludes zero."
        )


def _interval_note(evaluation: EvaluationReport) -> str:
    if evaluation.num_groups < 2:
        return "; one group only shows no spread, so there are no intervals"
    resamples = count(evaluation.num_resamples)
    return f" (in brackets: {evaluation.interval_name}s over {resamples} resamples of whole groups)"


def _compared(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield one sentence on the standings in one metric."""
    order = list(Standing)
    ranked = sorted(verdicts, key=lambda verdict: order.index(verdict.standing))
    parts = [
        _PHRASES[standing].format(listing([_scored(verdict) for verdict in group]))
        for standing, group in groupby(ranked, key=lambda verdict: verdict.standing)
    ]
    if parts:
        metric = METRIC_NAMES[verdicts[0].metric]
        yield f"By {metric}, the model is {'; it is '.join(parts)}."


def _scored(verdict: Verdict) -> str:
    value = metric_value(verdict.metric, verdict.reference.value)
    return f"{baseline_name(verdict.baseline)} ({value})"


def _what_a_leak_would_buy(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None or "same_group_mean" not in evaluation.baselines:
        return
    is_shared = any(overlap["shared_groups"] for overlap in evaluation.group_overlap.values())
    if evaluation.num_groups == evaluation.num_clips and not is_shared:
        return  # no clip has another of its group to be guessed by
    scores = evaluation.baselines["same_group_mean"]
    yield (
        "For scale: guessing each clip by the annotations of the other clips of its group, "
        "which no model may know, scores "
        + listing(
            [
                f"{METRIC_NAMES[metric]} {metric_value(metric, scores[metric]['mean'].value)}"
                for metric in HEADLINE_METRICS
            ]
        )
        + ". That is what the plainest leak buys: recognising the person or the video."
    )


def _claim(verdicts: Iterable[Verdict], words: str, standings: frozenset[Standing]) -> str:
    """Return what can be said of the baselines with one of some standings; empty where none has."""
    metrics: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.standing in standings:
            metrics.setdefault(verdict.baseline, []).append(METRIC_NAMES[verdict.metric])
    baselines: dict[str, list[str]] = {}
    for name, named in metrics.items():
        baselines.setdefault(listing(named), []).append(baseline_name(name))
    return "; ".join(f"{words} {listing(names)} in {those}" for those, names in baselines.items())
