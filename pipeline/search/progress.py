"""Show the progress of a search: a live table on a terminal, otherwise lines.

There is a line per ended trial. During a long trial, there is a line every ten seconds.
"""

import time
from collections import deque

import rich.box
import rich.console
import rich.live
import rich.table
import rich.text
from optuna.trial import FrozenTrial, TrialState

from pipeline.core.progress_lines import ProgressLines
from pipeline.search.study.study_file import STATE_NAMES
from pipeline.search.study.study_status import StudyStatus

_NUM_NEWEST = 8
"""Maximum number of ended trials that the table shows."""


class SearchProgress:
    """Display of ended trials, the best trial and the remaining time.

    `num_trials` and `timeout_seconds` limit the search; None means no limit.
    """

    def __init__(
        self,
        objectives: list[str],
        *,
        num_trials: int | None,
        timeout_seconds: float | None,
        console: rich.console.Console | None = None,
    ) -> None:
        self._objectives = objectives
        self._num_trials = num_trials
        self._timeout_seconds = timeout_seconds
        self._console = console or rich.console.Console()
        self._lines = ProgressLines(self._console)
        self._start = time.monotonic()
        self._done_before: int | None = None
        self._newest: deque[FrozenTrial] = deque(maxlen=_NUM_NEWEST)
        self._status: StudyStatus | None = None
        self._live = rich.live.Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> "SearchProgress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, status: StudyStatus) -> None:
        """Show the status of the study."""
        if self._done_before is None:
            self._done_before = status.num_done
        self._status = status
        if self._live.is_started:
            self._live.update(self._table_with_counts(status), refresh=True)
        else:
            self._lines.show(self._counts(status))

    def show_end(self, trial: FrozenTrial) -> None:
        """Show a trial that has ended."""
        self._newest.append(trial)
        if not self._live.is_started:
            state = STATE_NAMES[trial.state]
            self._lines.print(
                f"trial {trial.number} {state}: {self._result(trial)}{self._summary()}"
            )

    def show_lost(self, trial: FrozenTrial, *, is_retried: bool) -> None:
        """Show a trial whose worker died."""
        next_step = "it will be tried again" if is_retried else "no retries are left"
        self._lines.print(f"trial {trial.number} lost: the worker died; {next_step}")

    def _result(self, trial: FrozenTrial) -> str:
        if trial.state == TrialState.FAIL:
            return str(trial.user_attrs.get("reason", "unknown"))
        if trial.state == TrialState.PRUNED:
            steps = trial.intermediate_values
            when = f" after epoch {max(steps)}" if steps else ""
            return f"{self._objectives[0]} {trial.value or float('nan'):.5f}{when}"
        return self._values(trial)

    def _values(self, trial: FrozenTrial) -> str:
        pairs = zip(self._objectives, trial.values or (), strict=False)
        return ", ".join(f"{name} {value:.5g}" for name, value in pairs)

    def _summary(self) -> str:
        if self._status is None:
            return ""
        best = self._status.best
        text = "" if best is None else f", best: trial {best.number} with {self._values(best)}"
        return f"  ({self._status.num_done}{self._total()} done{self._left(self._status)}{text})"

    def _total(self) -> str:
        return "" if self._num_trials is None else f" of {self._num_trials}"

    def _counts(self, status: StudyStatus) -> str:
        return (
            f"{status.num_done}{self._total()} trials: {status.num_complete} complete, "
            f"{status.num_pruned} pruned, {status.num_failed} failed, "
            f"{len(status.running)} running{self._left(status)}"
        )

    def _table_with_counts(self, status: StudyStatus) -> rich.console.Group:
        line = rich.text.Text(self._counts(status))
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
        for column in ("trial", "state", "result", "settings"):
            table.add_column(column)
        for trial in status.running:
            steps = trial.intermediate_values
            result = f"epoch {max(steps)}: {steps[max(steps)]:.5g}" if steps else ""
            table.add_row(str(trial.number), "running", result, _settings(trial))
        for trial in reversed(self._newest):
            state = STATE_NAMES[trial.state]
            table.add_row(str(trial.number), state, self._result(trial), _settings(trial))
        if status.best is not None:
            best = status.best
            cells = (str(best.number), "best", self._values(best), _settings(best))
            table.add_row(*cells, style="bold")
        return rich.console.Group(line, table)

    def _left(self, status: StudyStatus) -> str:
        """Return the estimated remaining time as text; "" if no estimate is possible.

        The estimate is the smaller of two times: the time until `timeout_seconds`, and the time for
        the remaining trials. The second time is extrapolated from the trials that ended since the
        first call of `show`.
        """
        passed = time.monotonic() - self._start
        times = []
        if self._timeout_seconds is not None:
            times.append(max(0.0, self._timeout_seconds - passed))
        done_here = status.num_done - (self._done_before or 0)
        if self._num_trials is not None and done_here > 0:
            times.append(passed / done_here * max(0, self._num_trials - status.num_done))
        if not times:
            return ""
        seconds = min(times)
        text = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        return f", about {text} left"


def _settings(trial: FrozenTrial) -> str:
    overrides = trial.user_attrs.get("overrides", {})
    return ", ".join(
        f"{name.rpartition('.')[2]} {f'{value:.3g}' if isinstance(value, float) else value}"
        for name, value in overrides.items()
    )
