"""One piece of advice, and the measurements that advice may rest on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.core.errors import RunError
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """One piece of advice."""

    issue: str
    """What is slow, a few words."""
    details: str
    """What was measured, one sentence with numbers."""
    evidence: Mapping[str, float]
    """Those numbers by name; times in seconds, shares in [0, 1]."""
    advice: str
    """What to do, one or two sentences; settings by their dotted names."""
    gain_seconds: float
    """Seconds that a run like this one could save, at most."""
    expected_gain: str
    """The same in words, with what it depends on."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """The advice as settings, dotted name -> value; empty where it is none of a setting."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, under the names that tools of the field read."""
        return {
            "issue": self.issue,
            "details": self.details,
            "evidence": dict(self.evidence),
            "recommendation": self.advice,
            "expected_gain": self.expected_gain,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredRun:
    """What the rules look at."""

    times: TimeLogs
    history: MetricsHistory
    config: Mapping[str, Any]
    """Its configuration, nested as in `config.yaml`."""
    num_train_clips: int | None
    """Clips in the training split; None where unknown."""

    def setting(self, name: str) -> Any:
        """Return a setting by its dotted name."""
        section, key = name.split(".")
        try:
            return self.config[section][key]
        except (KeyError, TypeError):
            raise RunError(
                f"config.yaml: has no {name}. Give the configuration that the run has written."
            ) from None


def written(seconds: float) -> str:
    """Return a time with its unit."""
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds / 60:.0f} min"


def percent(share: float) -> str:
    """Return a share in [0, 1] as a percentage."""
    return f"{share * 100:.0f} %"


def share_of(part: float, whole: float) -> float:
    """Return `part / whole`, or 0 of a whole that took no time."""
    return part / whole if whole > 0 else 0.0
