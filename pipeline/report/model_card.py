"""What the model is for, what it is not for, and what is known of its data and limits.

Reference: Mitchell et al., 2019 (doi:10.1145/3287560.3287596), model cards.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from pipeline.core.number_format import METRIC_NAMES, count, decimal
from pipeline.core.traits import directions
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS
from pipeline.records.evaluation import EvaluationReport, Interval, Subgroup
from pipeline.report.loading import RunRecords
from pipeline.report.summary import evaluated_clips
from pipeline.report.verdicts import HEADLINE_METRICS
from pipeline.report.wording import (
    listing,
    percent,
    plain,
    sentence,
    shape,
    with_interval,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CardEntry:
    """One heading of the card and its paragraphs."""

    heading: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """A work that a statement rests on."""

    text: str
    url: str


BIAS_SOURCES: Final = (
    Citation(
        text="Junior et al., 2021, Person Perception Biases Exposed: Revisiting the First "
        "Impressions Dataset (arXiv:2011.14906)",
        url="https://arxiv.org/abs/2011.14906",
    ),
    Citation(
        text="Principi et al., 2019, On the Effect of Observed Subject Biases in Apparent "
        "Personality Analysis from Audio-visual Signals (arXiv:1909.05568)",
        url="https://arxiv.org/abs/1909.05568",
    ),
)
"""Where the biases of annotators of such clips were shown."""


_WHAT: Final = (
    "Apparent personality: what strangers say of a person after a clip of some seconds. They are "
    "not the person’s personality, and no diagnosis."
)
_USE: Final = (
    "Research on first impressions: which cues annotators react to, how features and fusions "
    "compare, on clips like those that the model was trained on."
)
_MISUSE: Final = (
    "Decisions on people: hiring, admission, credit, insurance, policing, health, dating or any "
    "other. Not for telling what someone is like, and not for clips of people who did not agree "
    "to it."
)
_INTERVAL_LIMITS: Final = (
    "They are calibrated on the validation groups without training clips (hierarchical split "
    "conformal prediction, arXiv:2306.06342) and hold for clips of new groups of the same kind: "
    "for each trait by itself, on average over groups, not for every kind of person. The "
    "validation clips chose the best epoch too, which makes their errors, and so the intervals, a "
    "little too small."
)
_LIMITS: Final = (
    "Annotators are biased by gender, age, ethnicity and attractiveness, and a model learns what "
    "its annotators did. Scores hold for clips, cameras, languages and people like the evaluated "
    "ones; nothing is known beyond them."
)


def model_card(records: RunRecords) -> tuple[CardEntry, ...]:
    """Return the entries of the card; what is not on record is said to be unknown."""
    return (
        CardEntry(heading="What the scores are", paragraphs=(_WHAT, *_directions(records))),
        CardEntry(heading="Intended use", paragraphs=(_USE,)),
        CardEntry(heading="Not for", paragraphs=(_MISUSE,)),
        CardEntry(heading="Data", paragraphs=tuple(_data(records))),
        CardEntry(heading="Evaluation", paragraphs=tuple(_evaluation(records))),
        CardEntry(heading="Prediction intervals", paragraphs=tuple(_intervals(records))),
        CardEntry(heading="Results by subgroup", paragraphs=tuple(_subgroups(records))),
        CardEntry(heading="Limits", paragraphs=(_LIMITS,)),
    )


def _directions(records: RunRecords) -> tuple[str, ...]:
    traits = records.features.traits if records.features is not None else ()
    return tuple(sentence(direction) for direction in directions(traits))


def _data(records: RunRecords) -> Iterator[str]:
    features, summary = records.features, records.summary
    if features is None and summary is None:
        yield "Unknown: neither data.json nor summary.json can be used."
    if features is not None:
        yield (
            f"{count(features.num_clips, 'clip')}; static features {shape(features.static_shape)}, "
            f"dynamic features {shape(features.dynamic_shape)}; encoder: {plain(features.encoder)}."
        )
        yield f"Sources: {_files(features.sources)}."
    if summary is not None:
        sides = [
            f"{side} {count(number, 'clip')} of {count(summary.num_groups.get(side, 0), 'group')}"
            for side, number in summary.num_clips.items()
            if number
        ]
        yield f"Split: {listing(sides)}."


def _files(sources: list[str]) -> str:
    """Return paths as a list; those in one directory name it once."""
    paths = [PurePath(source) for source in sources]
    if len({path.parent for path in paths}) == 1:
        return f"{listing([path.name for path in paths])} in {paths[0].parent}"
    return listing(sources)


def _evaluation(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None:
        yield "None is at hand."
        return
    means = [
        f"{METRIC_NAMES[metric]} {with_interval(metric, evaluation.metrics[metric]['mean'])}"
        for metric in METRICS
    ]
    yield f"{evaluated_clips(records, evaluation)}, on average over the traits: {listing(means)}."


def _intervals(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None or evaluation.intervals is None:
        yield (
            "Not measured: there were too few held-out groups to calibrate them on, or to look at. "
            "Intervals that were calibrated on fewer than 9 groups are the whole range, 0 to 1."
        )
        return
    intervals = evaluation.intervals
    # Coverage has one decimal because 89.5 % and 90.4 % are different results.
    covered, level = intervals.coverage["mean"], percent(intervals.level)
    ends = ""
    if covered.exists:
        ends = f" [{percent(covered.low, 1)}, {percent(covered.high, 1)}]"
    yield (
        f"An interval of {level} held the annotated score of {percent(covered.value, 1)}{ends} "
        f"of the clips, on average over traits and groups ({count(intervals.num_groups, 'group')}: "
        f"{intervals.measured_on}), and was {decimal(intervals.mean_width['mean'], 3)} wide on a "
        "scale from 0 to 1."
    )
    yield _INTERVAL_LIMITS


def _subgroups(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None or not evaluation.by:
        yield (
            "Not measured. Where clips.csv has a column such as gender or age, evaluate with "
            "`--by COLUMN` before anything is said of how the model treats people."
        )
        return
    for column in evaluation.by:
        yield from _widest_gap(evaluation, column)


def _widest_gap(evaluation: EvaluationReport, column: str) -> Iterator[str]:
    """Yield in words how far the best and the worst served subgroup are apart."""
    subgroups = evaluation.by[column]
    if len(subgroups) < 2:
        yield f"By {column}: all evaluated clips are {listing(list(subgroups))}."
        return
    for metric in HEADLINE_METRICS:
        ranked = sorted(
            subgroups,
            key=lambda value, metric=metric: _mean(subgroups[value], metric).value,  # type: ignore[misc]
            reverse=HIGHER_IS_BETTER[metric],
        )
        best, worst = ranked[0], ranked[-1]
        overlap = _mean(subgroups[best], metric).overlaps(_mean(subgroups[worst], metric))
        yield (
            f"By {column}, {METRIC_NAMES[metric]} is best for {best} "
            f"({_told(subgroups[best], metric)}) and worst for {worst} "
            f"({_told(subgroups[worst], metric)}); the intervals "
            f"{'overlap, so this may be chance' if overlap else 'do not overlap'}."
        )


def _told(subgroup: Subgroup, metric: str) -> str:
    estimate = with_interval(metric, _mean(subgroup, metric))
    return f"{estimate}, {count(subgroup.num_clips, 'clip')}"


def _mean(subgroup: Subgroup, metric: str) -> Interval:
    return subgroup.metrics[metric]["mean"]
