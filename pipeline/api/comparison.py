"""Compare two runs from Python."""

from collections.abc import Mapping
from typing import Literal

import pandas as pd

from pipeline.api.display import Displayed
from pipeline.api.evaluation import interval_table
from pipeline.api.inputs import PathLike, RunLike, path_of
from pipeline.api.run import Run
from pipeline.core.number_format import count
from pipeline.evaluation.comparison import Comparison


class ComparisonResult(Displayed):
    """Paired comparison of two runs on the same clips.

    Example:
        >>> comparison = pipeline.compare("runs/one", "runs/other")
        >>> comparison.verdict
        >>> comparison.scores.loc["r2"]

    Args:
        comparison: Result of the workflow.
        runs: First and second run.
    """

    def __init__(self, comparison: Comparison, runs: tuple[Run, Run]) -> None:
        self.comparison = comparison
        """All values of the comparison as a typed object."""
        self.runs = runs
        """First and second run, A and B."""

    @property
    def verdict(self) -> str:
        """Result for all metrics together, in one sentence."""
        return self.comparison.overall

    @property
    def scores(self) -> pd.DataFrame:
        """Metrics of both runs and their differences.

        The index is `metric` and `trait`, including `mean`. The columns are `a` and `b` (metric of
        each run), `difference` (B minus A), and `low` and `high`: the ends of the 95 % interval of
        the difference. If the interval contains 0, the data show no difference.
        """
        table = interval_table(self.comparison.differences)
        table = table.rename(columns={"value": "difference"})
        for position, (column, name) in enumerate(zip("ab", self.comparison.names, strict=True)):
            metrics = self.comparison.metrics[name]
            values = [metrics[metric][trait] for metric, trait in table.index]
            table.insert(position, column, values)
        return table

    def _title(self) -> str:
        sample = self.comparison
        return (
            f"Comparison on {count(sample.num_clips, 'clip')} from "
            f"{count(sample.num_groups, 'group')}"
        )

    def _values(self) -> Mapping[str, str]:
        first, second = self.comparison.names
        return {"A": first, "B": second, "result": self.verdict}


def compare(
    run_a: RunLike,
    run_b: RunLike,
    *,
    split: Literal["validation", "test", "all"] = "validation",
    figures_dir: PathLike | None = None,
) -> ComparisonResult:
    """Compare two runs on the same clips: paired differences with 95 % intervals.

    The comparison uses the stored predictions of both runs, so no model is loaded.

    Args:
        run_a: First run, A.
        run_b: Second run, B.
        split: Subset of the clips.
        figures_dir: Directory for figures of the comparison; by default, none are drawn.

    Raises:
        RunError: If a run has no predictions for the split, or the runs have different clips.

    Example:
        >>> pipeline.compare(run, "runs/other", split="test").scores["difference"].unstack()
    """
    from pipeline.workflows.compare import compare_runs, draw_comparison

    runs = (Run.load(run_a), Run.load(run_b))
    first, second = (run.path for run in runs)
    comparison = compare_runs(first, second, split=split)
    if (target := path_of(figures_dir)) is not None:
        draw_comparison(comparison, first, second, split=split, output_dir=target)
    return ComparisonResult(comparison, runs)
