"""Model card: intended use, data, evaluation and limits of the model.

Reference: Mitchell et al., 2019 (doi:10.1145/3287560.3287596), model cards.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Final

from pipeline.core.number_format import METRIC_NAMES, count, decimal
from pipeline.core.traits import describe_scores
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS
from pipeline.records.evaluation import EvaluationReport, Subgroup
from pipeline.report.headline import HEADLINE_METRICS
from pipeline.report.loading import RunRecords
from pipeline.report.summary import evaluated_clips
from pipeline.report.wording import (
    UNKNOWN_ENCODERS,
    capitalized,
    describe_values,
    format_value,
    listing,
    percent,
    with_interval,
)

BIAS_SOURCES: Final[Mapping[str, str]] = {
    "Junior et al., 2021, Person Perception Biases Exposed: Revisiting the First Impressions "
    "Dataset (arXiv:2011.14906)": "https://arxiv.org/abs/2011.14906",
    "Principi et al., 2019, On the Effect of Observed Subject Biases in Apparent Personality "
    "Analysis from Audio-visual Signals (arXiv:1909.05568)": "https://arxiv.org/abs/1909.05568",
}
"""Publication about annotator bias -> URL."""

_SCORES: Final = (
    "Apparent personality: the impression of strangers after watching a clip of a few seconds. "
    "The scores do not measure the person’s personality and are not a diagnosis."
)
_USE: Final = (
    "Research on first impressions, with clips similar to the training clips. Example questions: "
    "which cues affect the annotators, and which features and fusions predict the scores best."
)
_MISUSE: Final = (
    "Decisions about people: hiring, admission, credit, insurance, policing, health, dating or "
    "any other. Statements about a person’s character. Clips of people who did not agree to this "
    "use."
)
_INTERVAL_LIMITS: Final = (
    "The intervals are calibrated on the validation groups that have no training clips "
    "(hierarchical split conformal prediction, arXiv:2306.06342). They are valid for clips "
    "from new groups of the same kind, for each trait separately and on average over groups. "
    "They are not valid for every subgroup of people. The validation clips were also used to "
    "select the best epoch, so the errors and the intervals are slightly too small."
)
_LIMITS: Final = (
    "Annotators are biased by gender, age, ethnicity and attractiveness, and a model learns "
    "these biases. The scores apply only to clips, cameras, languages and people that are similar "
    "to the evaluated clips. For other clips, the quality is unknown."
)


def model_card(records: RunRecords) -> dict[str, tuple[str, ...]]:
    """Return the model card: heading -> paragraphs."""
    traits = records.features.traits if records.features is not None else ()
    return {
        "Meaning of the scores": (_SCORES, *describe_scores(traits)),
        "Intended use": (_USE,),
        "Not intended for": (_MISUSE,),
        "Data": tuple(_data(records)),
        "Evaluation": tuple(_evaluation(records)),
        "Prediction intervals": tuple(_intervals(records)),
        "Results by subgroup": tuple(_subgroups(records)),
        "Limits": (_LIMITS,),
    }


def _data(records: RunRecords) -> Iterator[str]:
    features, summary = records.features, records.summary
    if features is None and summary is None:
        yield "Unknown, because data.json and summary.json are missing or damaged."
    if features is not None:
        streams = [
            f"{name} features ({describe_values(each[1:])})"
            for name, each in features.streams.items()
        ]
        is_unknown = features.encoder in UNKNOWN_ENCODERS
        encoder = "not named in the data" if is_unknown else format_value(features.encoder)
        clips = count(features.num_clips, "clip")
        yield f"{clips} with {listing(streams)}. Encoder: {encoder}."
        yield f"Sources: {_paths(features.sources)}."
    if summary is not None:
        subsets = [
            f"{name} {count(number, 'clip')} from {count(summary.num_groups.get(name, 0), 'group')}"
            for name, number in summary.num_clips.items()
            if number
        ]
        yield f"Split: {listing(subsets)}."


def _paths(sources: Sequence[str]) -> str:
    """Format paths as a list. If all files are in one directory, the directory appears once."""
    paths = [PurePath(source) for source in sources]
    if len({path.parent for path in paths}) == 1:
        return f"{listing([path.name for path in paths])} in {paths[0].parent}"
    return listing(sources)


def _evaluation(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None:
        yield "There is no evaluation."
        return
    means = [
        f"{METRIC_NAMES[metric]} {with_interval(metric, evaluation.metrics[metric]['mean'])}"
        for metric in METRICS
    ]
    clips = capitalized(evaluated_clips(records, evaluation))
    yield f"{clips}. Averages over the traits: {listing(means)}."


def _intervals(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None or evaluation.intervals is None:
        yield (
            "Not measured, because there were too few held-out groups for calibration or testing. "
            "Intervals from fewer than 9 calibration groups are the whole range, 0 to 1."
        )
        return
    intervals = evaluation.intervals
    # In whole percentages, 89.5 % and 90.4 % would look equal.
    covered, level = intervals.coverage["mean"], percent(intervals.level)
    ends = f" [{percent(covered.low, 1)}, {percent(covered.high, 1)}]" if covered.exists else ""
    yield (
        f"Intervals with a nominal coverage of {level} contained {percent(covered.value, 1)}{ends} "
        "of the annotated scores, averaged over traits and groups. They were measured on "
        f"{count(intervals.num_groups, 'group')}: {intervals.measured_on}. Their mean width was "
        f"{decimal(intervals.mean_width['mean'], 3)} on a scale from 0 to 1."
    )
    yield _INTERVAL_LIMITS


def _subgroups(records: RunRecords) -> Iterator[str]:
    evaluation = records.evaluation
    if evaluation is None or not evaluation.by:
        yield (
            "Not measured. Before any statement about fairness, evaluate with `--by COLUMN`, for "
            "a column of clips.csv such as gender or age."
        )
        return
    for column in evaluation.by:
        yield from _largest_gaps(evaluation, column)


def _largest_gaps(evaluation: EvaluationReport, column: str) -> Iterator[str]:
    """For each headline metric, compare the best and the worst subgroup of a column."""
    subgroups = evaluation.by[column]
    if len(subgroups) < 2:
        yield f"By {column}: all evaluated clips are {listing(list(subgroups))}."
        return
    for metric in HEADLINE_METRICS:
        scores = {value: subgroup.metrics[metric]["mean"] for value, subgroup in subgroups.items()}
        ranked = sorted(
            scores, key=lambda value: scores[value].value, reverse=HIGHER_IS_BETTER[metric]
        )
        best, worst = ranked[0], ranked[-1]
        overlap = scores[best].overlaps(scores[worst])
        yield (
            f"By {column}, {METRIC_NAMES[metric]} is best for {best} "
            f"({_described(subgroups[best], metric)}) and worst for {worst} "
            f"({_described(subgroups[worst], metric)}). The intervals "
            f"{'overlap, so the difference may be chance' if overlap else 'do not overlap'}."
        )


def _described(subgroup: Subgroup, metric: str) -> str:
    score = with_interval(metric, subgroup.metrics[metric]["mean"])
    return f"{score}, {count(subgroup.num_clips, 'clip')}"
