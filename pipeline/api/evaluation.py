"""Result of an evaluation, as text and as tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.api.display import Displayed
from pipeline.core.number_format import METRIC_NAMES, count
from pipeline.records.evaluation import EvaluationReport, Intervals
from pipeline.report.headline import HEADLINE_METRICS
from pipeline.report.headline import headline as report_headline
from pipeline.report.wording import display_name, with_interval


class EvaluationResult(Displayed):
    """Metrics of a model on one subset of the clips, with intervals and baselines.

    Example:
        >>> evaluation = pipeline.evaluate(run, split="test")
        >>> evaluation.scores.loc[("r2", "mean"), "value"]
        >>> evaluation.scores["value"].unstack("trait")  # one row per metric

    Args:
        report: Content of `evaluation.json`.
        path: File with this content; None if it was not written.
        is_ridge: True if the scores of the model are those of ridge regression.
    """

    def __init__(
        self, report: EvaluationReport, *, path: Path | None = None, is_ridge: bool = False
    ) -> None:
        self.report = report
        """All values of the evaluation as typed objects."""
        self.path = path
        """Path of `evaluation.json`; None if it was not written."""
        self._is_ridge = is_ridge

    @property
    def split(self) -> str:
        """Name of the subset: `validation`, `test` or `all`."""
        return self.report.split

    @property
    def headline(self) -> str:
        """Comparison of the model with its baselines, in one sentence."""
        return report_headline(self.report, is_ridge=self._is_ridge)

    @property
    def scores(self) -> pd.DataFrame:
        """Metrics of the model.

        The index is `metric` (accuracy, mae, mse, r2, pcc, ccc) and `trait`, including `mean`. The
        columns are `value`, `low` and `high`. `low` and `high` are the ends of the 95 % bootstrap
        interval over groups, or NaN with a single group.
        """
        return interval_table(self.report.metrics)

    @property
    def baselines(self) -> pd.DataFrame:
        """Metrics of the baselines on the same clips, and the differences from the model.

        The index is `baseline`, `metric` and `trait`. The columns are those of `scores`, and
        `difference`, `difference_low` and `difference_high`: the metric of the model minus the
        metric of the baseline, with its interval.
        """
        tables = []
        for name, scores in self.report.baselines.items():
            difference = interval_table(self.report.baseline_differences[name])
            difference.columns = ["difference", "difference_low", "difference_high"]
            tables.append(interval_table(scores).join(difference))
        if not tables:
            return pd.DataFrame()
        metrics, traits = tables[0].index.levels
        index = {"baseline": list(self.report.baselines), "metric": metrics, "trait": traits}
        return pd.concat(tables, ignore_index=True).set_axis(_product_index(index))

    def _title(self) -> str:
        report = self.report
        clips, groups = count(report.num_clips, "clip"), count(report.num_groups, "group")
        return f"Evaluation on the split {report.split}: {clips} from {groups}"

    def _values(self) -> Mapping[str, str]:
        return {**headline_scores(self.report), "result": self.headline}


def interval_table(scores: Intervals) -> pd.DataFrame:
    """Return a table with index (metric, trait) and the columns `value`, `low` and `high`."""
    names = list(next(iter(scores.values())))
    rows = [
        (score.value, score.low, score.high)
        for metric in scores
        for score in (scores[metric][name] for name in names)
    ]
    index = _product_index({"metric": list(scores), "trait": names})
    return pd.DataFrame(rows, index=index, columns=["value", "low", "high"])


def _product_index(levels: Mapping[str, Sequence[str]]) -> pd.MultiIndex:
    """Return the index of all combinations. `unstack` and `sort_index` keep the given order."""
    codes = np.indices([len(names) for names in levels.values()])
    return pd.MultiIndex(
        levels=list(levels.values()), codes=codes.reshape(len(levels), -1), names=list(levels)
    )


def headline_scores(report: EvaluationReport) -> dict[str, str]:
    """Return metric -> mean over traits with its interval, beside ridge regression."""
    found = {}
    for metric in HEADLINE_METRICS:
        text = with_interval(metric, report.metrics[metric]["mean"])
        if "ridge" in report.baselines:
            ridge = with_interval(metric, report.baselines["ridge"][metric]["mean"])
            text += f"; {display_name('ridge')} {ridge}"
        found[METRIC_NAMES[metric]] = text.replace("\N{NO-BREAK SPACE}", " ")
    return found
