"""Shows how a search is doing: a live table on a terminal, a line a trial elsewhere."""

import time
from collections import deque
from types import TracebackType

import rich.box
import rich.console
import rich.live
import rich.table
import rich.text
from optuna.trial import FrozenTrial, TrialState

from pipeline.search.study.study_status import Standing

_NEWEST = 8
_WORDS = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class SearchProgress:
    """Tells a person what is done, what was best, and how long it will take.

    Args:
        objectives: Name of each objective.
        num_trials: Trials that the study shall have; None where only time ends it.
        timeout_seconds: Time that the search is given; None where only trials end it.
        console: Where to draw; standard output unless given.
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
        self._began = time.monotonic()
        self._done_before: int | None = None
        self._newest: deque[FrozenTrial] = deque(maxlen=_NEWEST)
        self._standing: Standing | None = None
        self._live = rich.live.Live(
            console=self._console, auto_refresh=False, transient=True, screen=False
        )

    def __enter__(self) -> "SearchProgress":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del kind, error, trace
        self._live.stop()

    def show(self, standing: Standing) -> None:
        """Show how the study stands now."""
        if self._done_before is None:
            self._done_before = standing.num_done
        self._standing = standing
        if self._live.is_started:
            self._live.update(self._picture(standing), refresh=True)

    def tell(self, trial: FrozenTrial) -> None:
        """Tell of a trial that has ended."""
        self._newest.append(trial)
        if not self._live.is_started:
            word = _WORDS.get(trial.state, "?")
            self._print(f"trial {trial.number} {word}: {self._said(trial)}{self._so_far()}")

    def tell_lost(self, trial: FrozenTrial, *, is_retried: bool) -> None:
        """Tell of a trial whose worker died."""
        what_next = "it will be tried again" if is_retried else "it is given up"
        self._print(f"trial {trial.number} lost: its worker is gone; {what_next}")

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _said(self, trial: FrozenTrial) -> str:
        if trial.state == TrialState.FAIL:
            return str(trial.user_attrs.get("reason", "unknown"))
        if trial.state == TrialState.PRUNED:
            steps = trial.intermediate_values
            at = f" of epoch {max(steps)}" if steps else ""
            return f"{self._objectives[0]} {trial.value or float('nan'):.5f}{at}"
        return self._values(trial)

    def _values(self, trial: FrozenTrial) -> str:
        pairs = zip(self._objectives, trial.values or (), strict=False)
        return ", ".join(f"{name} {value:.5g}" for name, value in pairs)

    def _so_far(self) -> str:
        """Return how it stood when it was last looked at."""
        if self._standing is None:
            return ""
        best = self._standing.best
        said = "" if best is None else f", best so far {self._values(best)} of trial {best.number}"
        return f"  ({self._counts(self._standing)}{said})"

    def _counts(self, standing: Standing) -> str:
        total = "" if self._num_trials is None else f" of {self._num_trials}"
        return f"{standing.num_done}{total} done{self._left(standing)}"

    def _picture(self, standing: Standing) -> rich.console.Group:
        total = "" if self._num_trials is None else f" of {self._num_trials}"
        line = rich.text.Text(
            f"{standing.num_done}{total} trials: {standing.num_complete} complete, "
            f"{standing.num_pruned} pruned, {standing.num_failed} failed, "
            f"{len(standing.running)} running{self._left(standing)}"
        )
        return rich.console.Group(line, self._table(standing))

    def _table(self, standing: Standing) -> rich.table.Table:
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
        for column in ("trial", "state", "result", "settings"):
            table.add_column(column)
        for trial in standing.running:
            steps = trial.intermediate_values
            said = f"epoch {max(steps)}: {steps[max(steps)]:.5g}" if steps else ""
            table.add_row(str(trial.number), "running", said, _settings(trial))
        for trial in reversed(self._newest):
            state = _WORDS.get(trial.state, "?")
            table.add_row(str(trial.number), state, self._said(trial), _settings(trial))
        if standing.best is not None:
            best = standing.best
            table.add_row(
                str(best.number), "best", self._values(best), _settings(best), style="bold"
            )
        return table

    def _left(self, standing: Standing) -> str:
        """Return how long it will take, at the pace of this call so far."""
        passed = time.monotonic() - self._began
        times = []
        if self._timeout_seconds is not None:
            times.append(max(0.0, self._timeout_seconds - passed))
        done_here = standing.num_done - (self._done_before or 0)
        if self._num_trials is not None and done_here > 0:
            times.append(passed / done_here * max(0, self._num_trials - standing.num_done))
        return f", about {_minutes(min(times))} left" if times else ""


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _settings(trial: FrozenTrial) -> str:
    overrides = trial.user_attrs.get("overrides", {})
    return ", ".join(
        f"{name.rpartition('.')[2]} {value:.3g}"
        if isinstance(value, float)
        else f"{name.rpartition('.')[2]} {value}"
        for name, value in overrides.items()
    )
