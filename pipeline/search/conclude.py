"""Decide whether the best trial is better than the default configuration, on clips of no trial.

A trial is the best of many on the same validation clips, so its validation score is too good. The
decision therefore uses the test clips, which no trial has seen. The best trial is recommended only
if the paired 95 % cluster-bootstrap interval of its difference from the default, in the search
metric and on average over the traits, excludes 0 in its favour. Otherwise the default is kept.

`search/best.yaml` contains the recommended configuration. `search/best_trial.yaml` contains the
configuration of the best trial, also if it is not recommended.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pipeline.config.loading import config_hash, write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_last_status
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split
from pipeline.evaluation.comparison import Comparison
from pipeline.records.evaluation import EvaluationReport, read_report
from pipeline.report.headline import headline
from pipeline.report.images import FIGURE_FOLDERS
from pipeline.search.mlflow_runs import trial_run_id
from pipeline.search.study.retries import IS_DEFAULT
from pipeline.search.study_spec import StudySpec, without_outputs
from pipeline.tracking.mirror import deliver_rest
from pipeline.training.fit import FitHooks
from pipeline.workflows.compare import compare_runs, draw_comparison
from pipeline.workflows.cross_validation import for_all_clips, stays_at_start
from pipeline.workflows.evaluate import evaluate_run
from pipeline.workflows.features import select_used_streams
from pipeline.workflows.train import build_for
from pipeline.workflows.training_steps import Experiment, read_best_epoch, train_nested
from pipeline.workflows.visualize import visualize_run

_TEST = "test"
_DEFAULT = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """Result of a search."""

    best: FrozenTrial
    """Trial with the best validation score."""
    recommended: str
    """Configuration in `best.yaml`: `default`, or the name of the best trial."""
    run: RunDirectory
    """Run directory of the model that is trained again with the recommended configuration."""
    report: EvaluationReport
    """Evaluation of the model in `run` on the test clips."""
    comparison: Comparison | None
    """Metric differences "best - default" on the test clips; None if the default is the best."""
    metric: str
    """Search metric."""

    @property
    def decision(self) -> str:
        """The recommendation and its reason, as one line."""
        action = "KEEP THE DEFAULT" if self.recommended == _DEFAULT else f"USE {self.recommended}"
        baselines = f"The recommended model: {headline(self.report)}."
        if self.comparison is None:
            return f"{action}: no trial has a better validation score. {baselines}"
        reason = self.comparison.verdicts[self.metric]
        return f"{action}. On {self.comparison.sample} that no trial used: {reason} {baselines}"


def conclude_search(
    spec: StudySpec,
    best: FrozenTrial,
    trials: list[FrozenTrial],
    features: FeatureSet,
    split: Split,
) -> Conclusion:
    """Train models with the best and the default configuration, compare them, and recommend one.

    The comparison is paired and uses the test clips. Trials never use these clips. The recommended
    model is registered only if `tracking.registered_model` is set.
    """
    refitter = _Refitter(spec, features, split)
    config, best_epochs = spec.with_search_metric(spec.config), _default_epochs(spec, trials)
    comparison, recommended = None, _DEFAULT
    if best.user_attrs.get(IS_DEFAULT):
        run = refitter.refit(_DEFAULT, config, best.user_attrs["best_epochs"])
    else:
        name = f"trial-{best.number:04d}"
        best_config = spec.with_search_metric(spec.space.config(best.user_attrs["overrides"]))
        write_config(spec.run.search_dir / "best_trial.yaml", best_config)
        best_run = refitter.refit(name, best_config, best.user_attrs["best_epochs"])
        if best_epochs is None:
            best_epochs = [refitter.choose_epoch(_DEFAULT, config)]
        run = refitter.refit(_DEFAULT, config, best_epochs)
        comparison = compare_runs(run.path, best_run.path, split=_TEST, labels=(_DEFAULT, name))
        write_json(spec.run.search_dir / "comparison.json", comparison.to_json())
        draw_comparison(comparison, run.path, best_run.path, split=_TEST, output_dir=spec.run.path)
        if comparison.winner(spec.objectives[0]) == name:
            recommended, config, run = name, best_config, best_run
    write_config(spec.run.search_dir / "best.yaml", config)
    tracking = spec.config.tracking
    if tracking.registered_model and tracking.package_model:
        alias = tracking.alias or spec.config.search.alias
        register_model(run, tracking.registered_model, alias=alias)
    return Conclusion(
        best=best,
        recommended=recommended,
        run=run,
        report=read_report(run.evaluation_path),
        comparison=comparison,
        metric=spec.objectives[0],
    )


def log_conclusion(
    run_log: RunLog, spec: StudySpec, num_trials: int, conclusion: Conclusion
) -> None:
    """Log to the run of the study: the best settings, and the metrics on the test clips.

    MLflow hides nested runs by default, so the result is also logged to the parent run.
    """
    best = conclusion.best
    metrics = {
        f"evaluation/test/{metric}/{trait}": interval.value
        for metric, traits in conclusion.report.metrics.items()
        for trait, interval in traits.items()
    }
    run_log.log_metrics(metrics)
    value = f"{spec.objectives[0]} {best.values[0]:.5f}"
    lines = [
        spec.config.description,
        f"Search with {num_trials} trials; best: trial {best.number}, {value}.",
        conclusion.decision,
    ]
    tags = {
        "best_trial": best.number,
        "best_run_id": trial_run_id(spec, best),
        "recommended": conclusion.recommended,
        "mlflow.note.content": "\n\n".join(line.strip() for line in lines if line.strip()),
        **{f"best.{name}": value for name, value in best.user_attrs["overrides"].items()},
    }
    run_log.log_tags(tags)


def register_model(run: RunDirectory, name: str, *, alias: str) -> None:
    """Register the model of a finished run as the newest version of the model `name`.

    A version that already exists is not registered again, but gets the alias again.
    """
    with run.locked():
        RunLog(run.run_log_path).log_model(registered_model=name, alias=alias)
        deliver_rest(run)


@dataclass(frozen=True, slots=True)
class _Refitter:
    """Train the final models of a search, and evaluate them on the test clips."""

    spec: StudySpec
    features: FeatureSet
    split: Split

    def refit(
        self, name: str, config: ExperimentConfig, best_epochs: Sequence[int]
    ) -> RunDirectory:
        """Train a model with `config` and evaluate it on the test clips, if not done already.

        `best_epochs` contains the best epoch of each fit of the trial. If the list is empty, the
        best epoch is selected on the validation clips.
        """
        split, hooks = self.split, FitHooks()
        if self.spec.config.search.refit == "train_validation" and best_epochs:
            rows = np.concatenate([split.train, split.validation])
            split = Split(train=rows, validation=rows[:0], test=split.test)
            config = for_all_clips(config, best_epochs)
            if stays_at_start(best_epochs):
                hooks, name = FitHooks(start="final"), f"{name}-start"
        run = self._train(name, config, split, hooks)
        is_evaluated = run.predictions_path(_TEST).exists() and run.evaluation_path.exists()
        if not is_evaluated or read_report(run.evaluation_path).split != _TEST:
            evaluate_run(run.path, None, split=_TEST)
        _update_report(run)
        return run

    def choose_epoch(self, name: str, config: ExperimentConfig) -> int:
        """Train a model with `config`, and return its best epoch."""
        return read_best_epoch(self._train(f"{name}-epoch", without_outputs(config), self.split))

    def _train(
        self, name: str, config: ExperimentConfig, split: Split, hooks: FitHooks | None = None
    ) -> RunDirectory:
        # A later call with other settings must not reuse the run, so the name contains a hash.
        run = RunDirectory(self.spec.run.refits_dir / f"{name}-{config_hash(config)[:8]}")
        config = dataclasses.replace(config, tracking=config.tracking.unregistered())
        if read_last_status(run) != "FINISHED":
            features = select_used_streams(self.features, config)
            run_name = f"{_DEFAULT if name.startswith(_DEFAULT) else 'best'} refit"
            train_nested(
                run,
                Experiment(config=config, features=features, split=split, run_name=run_name),
                parent=self.spec.run,
                build=lambda: build_for(config, features),
                hooks=hooks,
                tags={"kind": "refit", "study": self.spec.study_name, "role": name},
            )
        return run


def _update_report(run: RunDirectory) -> None:
    """If the report is older than the evaluation, draw the figures and write the report again."""
    evaluated = run.predictions_path(_TEST).stat().st_mtime
    if run.report_path.exists() and run.report_path.stat().st_mtime <= evaluated:
        visualize_run(run, split=_TEST)
        with run.locked():
            RunLog(run.run_log_path).log_artifacts([*FIGURE_FOLDERS, run.report_path.name])
            deliver_rest(run)


def _default_epochs(spec: StudySpec, trials: list[FrozenTrial]) -> list[int] | None:
    """Return the best epochs of the default configuration, or None if they are unknown.

    With `refit: train`, the epochs are not needed. Unknown epochs then give an empty list.
    """
    for trial in trials:
        if trial.user_attrs.get(IS_DEFAULT) and trial.state == TrialState.COMPLETE:
            return list(trial.user_attrs["best_epochs"])
    return [] if spec.config.search.refit == "train" else None
