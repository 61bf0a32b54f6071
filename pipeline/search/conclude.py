"""The end of a search: the best configuration, trained once more and held against the default."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from pipeline.config.loading import write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split
from pipeline.evaluation.comparison import Comparison
from pipeline.records.evaluation import EvaluationReport
from pipeline.search.refit import TEST, Refitter, held_out_report
from pipeline.search.study.retries import IS_DEFAULT
from pipeline.search.study_spec import SearchJob
from pipeline.workflows.compare import compare_runs, draw_comparison

DEFAULT = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """What a search came to."""

    best: FrozenTrial
    """The trial with the best objective."""
    overrides: dict[str, Any]
    """What it changed in the configuration."""
    best_run: RunDirectory
    """Its configuration, trained once more."""
    report: EvaluationReport
    """That model, on the clips held out of the search."""
    default_run: RunDirectory
    """The configuration as it was given, trained in the same way."""
    comparison: Comparison | None
    """The best minus the default on those clips; None where the default is the best."""

    @property
    def verdict(self) -> str:
        """Return in one sentence whether the search has found something better."""
        if self.comparison is None:
            return "The search found nothing better than the configuration as it was given."
        return self.comparison.overall


def conclude_search(
    job: SearchJob,
    best: FrozenTrial,
    trials: list[FrozenTrial],
    features: FeatureSet,
    split: Split,
) -> Conclusion:
    """Train the best and the default configuration alike, compare them, and keep the best.

    The comparison is paired and on clips that no trial has seen, so that 'better' is shown.

    Args:
        job: The study.
        best: Its best trial.
        trials: All of its trials.
        features: The clips.
        split: The split of the search; its test side judges.
    """
    overrides = dict(best.user_attrs["overrides"])
    config = best_config(job, overrides)
    write_config(job.run.search_dir / "best.yaml", config)
    refitter = Refitter(job, features, split)
    best_run = refitter.refit(
        f"trial-{best.number:04d}", _registered(job, config), best.user_attrs["best_epochs"]
    )
    default_run, comparison = best_run, None
    if not best.user_attrs.get(IS_DEFAULT):
        default_run = refitter.refit(
            DEFAULT, as_searched(job, job.config), _default_epochs(job, trials, refitter)
        )
        comparison = compare_runs(default_run.path, best_run.path, split=TEST)
        write_json(job.run.search_dir / "comparison.json", comparison.to_json())
        draw_comparison(
            comparison, default_run.path, best_run.path, split=TEST, output_dir=job.run.path
        )
    return Conclusion(
        best=best,
        overrides=overrides,
        best_run=best_run,
        report=held_out_report(best_run),
        default_run=default_run,
        comparison=comparison,
    )


def best_config(job: SearchJob, overrides: dict[str, Any]) -> ExperimentConfig:
    """Return the configuration that `train --config best.yaml` runs."""
    return as_searched(job, job.space.config(overrides))


def as_searched(job: SearchJob, config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration with the best epoch decided by what was searched for."""
    training = dataclasses.replace(config.training, monitor=job.config.search.metric, num_folds=0)
    return dataclasses.replace(config, training=training)


def _registered(job: SearchJob, config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration of the model that goes into MLflow's registry."""
    name = config.tracking.registered_model or config.name
    tracking = dataclasses.replace(
        config.tracking, registered_model=name, alias=job.config.search.alias
    )
    return dataclasses.replace(config, tracking=tracking)


def _default_epochs(job: SearchJob, trials: list[FrozenTrial], refitter: Refitter) -> list[int]:
    """Return the best epochs of the default configuration: of its trial, or of a fit for them."""
    for trial in trials:
        if trial.user_attrs.get(IS_DEFAULT) and trial.state == TrialState.COMPLETE:
            return list(trial.user_attrs["best_epochs"])
    if job.config.search.refit == "train":
        return []
    return [refitter.choose_epoch(DEFAULT, as_searched(job, job.config))]
