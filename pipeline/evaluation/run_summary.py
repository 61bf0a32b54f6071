"""Mean scores over several runs, and their difference from the mean of other runs.

The spread over the runs and the uncertainty from the clips are reported separately:

- The *standard deviation* is over the runs. It shows how much a score depends on the seed, and
  on the split if the splits differ.
- The *interval* of a mean is a cluster bootstrap. Each resample draws whole groups once and uses
  them for all runs, because runs that were scored on the same clips share the luck of these clips.
  The score of each run is computed on the resample, and the scores are averaged.

If the runs have different splits, groups are drawn from the groups of all runs. Each run is scored
on those of its own clips that were drawn. A group in the validation clips of two runs therefore
counts for both runs. The interval then does not contain the variation from other training clips.
No unbiased estimate of this variation exists (Bengio & Grandvalet, 2004).

A difference between two sets of runs is paired: both sets use the same resamples. A difference
between two methods must also hold for other seeds. If all runs have one common split and each set
has at least two runs, each resampled difference therefore gets a random error of the means over the
runs. The error has a t distribution (Welch, 1947), because two or three runs are a small sample.

Shapes: N clips of all runs, K traits, B resamples, S runs.

Reference: Field & Welsh, 2007 (doi:10.1111/j.1467-9868.2007.00593.x), the cluster bootstrap;
    Bengio & Grandvalet, 2004, JMLR 5:1089-1105; Welch, 1947 (doi:10.1093/biomet/34.1-2.28).
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.special

from pipeline.core.arrays import FloatArray, IntArray
from pipeline.core.errors import RunError
from pipeline.core.number_format import count
from pipeline.core.seeds import generator
from pipeline.evaluation.comparison import (
    NUM_RESAMPLES,
    annotated_scores,
    check_same_traits,
    is_same_truth,
)
from pipeline.evaluation.intervals.bootstrap import (
    CONFIDENCE,
    GroupBootstrap,
    ResampledScores,
    difference,
)
from pipeline.metrics.regression import HIGHER_IS_BETTER, METRICS
from pipeline.records.evaluation import Intervals, trait_names
from pipeline.records.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class RunSet:
    """Runs of one method with different seeds or splits, and their scores."""

    names: tuple[str, ...]
    """Name of each run."""
    seeds: tuple[int, ...]
    """Seed of each run; empty if the seeds are unknown."""
    means: Intervals
    """Metric -> trait name or "mean" -> mean over the runs, with its interval."""
    deviations: Mapping[str, Mapping[str, float]]
    """Metric -> trait name or "mean" -> standard deviation over the runs; NaN for one run."""


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """Scores over several runs, and their difference from other runs on the same clips."""

    split: str
    """Subset of the clips, e.g. "test"."""
    num_clips: int
    """Number of different clips in all runs."""
    num_groups: int
    """Number of different groups in all runs. Whole groups are resampled."""
    is_common_split: bool
    """True if all runs have the same clips."""
    runs: RunSet
    against: RunSet | None
    """Runs for comparison; None if there are none."""
    differences: Intervals | None
    """Mean of `runs` minus mean of `against`; None without `against`."""
    covers_runs: bool
    """True if the intervals of the differences also contain the variation over the runs."""
    confidence: float = CONFIDENCE
    """Confidence level of the intervals, in (0, 1)."""
    num_resamples: int

    @property
    def trait_names(self) -> tuple[str, ...]:
        """Names of the traits, in the order of the scores."""
        return trait_names(self.runs.means)

    @property
    def clips(self) -> str:
        """Number of clips and groups as text, e.g. `1,199 test clips of 603 groups`."""
        splits = "" if self.is_common_split else " in different splits"
        split = "" if self.split == "all" else f"{self.split} "
        groups = count(self.num_groups, "group")
        return f"{count(self.num_clips, f'{split}clip')} of {groups}{splits}"

    @property
    def verdict(self) -> str:
        """Comparison of the two sets of runs in one sentence; "" without other runs."""
        if self.differences is None:
            return ""
        better: dict[bool, list[str]] = {True: [], False: []}
        for metric in METRICS:
            gain = self.differences[metric]["mean"]
            if gain.excludes_zero:
                better[(gain.low > 0) == HIGHER_IS_BETTER[metric]].append(metric)
        undecided = [m for m in METRICS if m not in better[True] + better[False]]
        parts = [f"better in {', '.join(better[True])}"] if better[True] else []
        parts += [f"worse in {', '.join(better[False])}"] if better[False] else []
        if not parts:
            return f"No difference between A and B is shown on {self.clips}."
        rest = f"; no difference is shown in {', '.join(undecided)}" if undecided else ""
        return f"A is {' and '.join(parts)} than B on {self.clips}{rest}."


def summarize_predictions(
    runs: Mapping[str, Predictions],
    against: Mapping[str, Predictions] | None = None,
    *,
    split: str,
    seeds: Mapping[str, int] | None = None,
    num_resamples: int = NUM_RESAMPLES,
) -> RunSummary:
    """Compute mean, standard deviation and interval of every metric over several runs.

    Args:
        runs: Name of the run -> predictions. The clips of the runs may differ.
        against: Other runs, to compare with `runs`. They must have the same splits.
        split: Subset of the clips, e.g. "test".
        seeds: Name of the run -> its seed.
        num_resamples: Number of resamples B.

    Raises:
        RunError: If annotated scores are unknown, the runs disagree about a clip, two runs of one
            set have equal predictions, or the two sets of runs have different clips.
    """
    against = against or {}
    every = [*runs.items(), *against.items()]
    clips = _Clips(every)
    for each in (runs, against):
        _check_different(each)
    splits = [{frozenset(each.clip_ids) for each in part.values()} for part in (runs, against)]
    if against and splits[0] != splits[1]:
        raise RunError(
            "both sets of runs must be scored on the same clips, so that they can be paired. "
            "Train the runs of both sets with the same splits: give the same --data.split_seed."
        )
    is_common = len(splits[0]) == 1
    bootstrap = GroupBootstrap(
        clips.groups,
        trait_names=every[0][1].trait_names,
        num_resamples=num_resamples,
        seed=0,
    )

    def score(part: Mapping[str, Predictions]) -> list[ResampledScores]:
        return [
            bootstrap.score(
                annotated_scores(predictions, name), predictions.y_pred, clips.rows(predictions)
            )
            for name, predictions in part.items()
        ]

    scores, other_scores = score(runs), score(against)
    covers_runs = is_common and min(len(scores), len(other_scores)) > 1
    differences = None
    if against:
        gain = difference(_mean(other_scores), _mean(scores))
        if covers_runs:
            gain = _with_run_errors(gain, (scores, other_scores))
        differences = bootstrap.intervals(gain)
    return RunSummary(
        split=split,
        num_clips=len(clips.groups),
        num_groups=len(set(clips.groups)),
        is_common_split=is_common,
        runs=_run_set(runs, seeds or {}, scores, bootstrap),
        against=_run_set(against, seeds or {}, other_scores, bootstrap) if against else None,
        differences=differences,
        covers_runs=covers_runs,
        num_resamples=num_resamples,
    )


class _Clips:
    """The different clips of all runs. The runs must agree about the clips that they share."""

    def __init__(self, runs: Sequence[tuple[str, Predictions]]) -> None:
        first_name, first = runs[0]
        self.groups: list[str] = []
        self._row_of: dict[str, int] = {}
        truths: list[FloatArray] = []
        for name, predictions in runs:
            check_same_traits(first, predictions, (first_name, name))
            y_true = annotated_scores(predictions, name)
            for row, clip_id in enumerate(predictions.clip_ids):
                known = self._row_of.setdefault(clip_id, len(truths))
                if known == len(truths):
                    truths.append(y_true[row])
                    self.groups.append(predictions.groups[row])
                same_group = self.groups[known] == predictions.groups[row]
                if not (same_group and is_same_truth(truths[known], y_true[row])):
                    what = "annotated scores" if same_group else "group"
                    raise RunError(
                        f"{name}: the {what} of clip {clip_id!r} must be the same as in the other "
                        "runs, but differ. Evaluate all runs on the same feature set."
                    )

    def rows(self, predictions: Predictions) -> IntArray:
        """Return the row number of each clip of a run."""
        return np.array([self._row_of[clip_id] for clip_id in predictions.clip_ids], dtype=np.int64)


def _check_different(runs: Mapping[str, Predictions]) -> None:
    seen: dict[bytes, str] = {}
    for name, predictions in runs.items():
        other = seen.setdefault(predictions.y_pred.tobytes(), name)
        if other != name:
            raise RunError(
                f"{other} and {name} have equal predictions, so they are not two seeds. Give each "
                "run once, and train each run with another --seed."
            )


def _run_set(
    runs: Mapping[str, Predictions],
    seeds: Mapping[str, int],
    scores: Sequence[ResampledScores],
    bootstrap: GroupBootstrap,
) -> RunSet:
    return RunSet(
        names=tuple(runs),
        seeds=tuple(seeds[name] for name in runs if name in seeds),
        means=bootstrap.intervals(_mean(scores)),
        deviations={
            metric: {
                name: _deviation([each.values[metric][name] for each in scores])
                for name in scores[0].values[metric]
            }
            for metric in METRICS
        },
    )


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _mean(scores: Sequence[ResampledScores]) -> ResampledScores:
    """Return the mean over the runs. A run without clips in a resample is left out of the mean."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)  # a mean of no runs is NaN
        resampled = {
            metric: np.asarray(np.nanmean([each.resampled[metric] for each in scores], axis=0))
            for metric in METRICS
        }
    values = {
        metric: {
            name: float(np.mean([each.values[metric][name] for each in scores]))
            for name in scores[0].values[metric]
        }
        for metric in METRICS
    }
    return ResampledScores(values=values, resampled=resampled)


def _with_run_errors(
    gain: ResampledScores, sets: Sequence[Sequence[ResampledScores]]
) -> ResampledScores:
    """Add a random error of the means over the runs to each resampled difference."""
    shares = generator(0, "runs").uniform(size=(len(gain.resampled[METRICS[0]]), 1))
    resampled = {}
    for metric in METRICS:
        tables = [np.array([list(run.values[metric].values()) for run in runs]) for runs in sets]
        variances = [table.var(axis=0, ddof=1) / len(table) for table in tables]
        total = variances[0] + variances[1]
        parts = [
            variance**2 / (len(table) - 1)
            for variance, table in zip(variances, tables, strict=True)
        ]
        # Equal runs have no error, so their degrees of freedom do not matter.
        degrees = np.where(total > 0, total**2, 1) / np.where(total > 0, parts[0] + parts[1], 1)
        errors = np.sqrt(total) * scipy.special.stdtrit(degrees, shares)
        resampled[metric] = gain.resampled[metric] + errors
    return ResampledScores(values=gain.values, resampled=resampled)
