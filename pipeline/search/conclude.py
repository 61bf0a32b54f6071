"""Train models with the best and the default configuration, and compare them on test clips."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pipeline.config.loading import config_hash, load_run_config, write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.files import write_json
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_last_status
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split
from pipeline.evaluation.comparison import Comparison
from pipeline.records.evaluation import EvaluationReport, read_report
from pipeline.records.manifest import forget_files, record_files
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
from pipeline.workflows.visualize import FIGURE_FOLDERS, visualize_run

_TEST = "test"
_DEFAULT = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conclusion:
    """Result of a search."""

    best: FrozenTrial
    best_run: RunDirectory
    """Run directory of the model that is trained again with the best configuration."""
    report: EvaluationReport
    """Evaluation of the model in `best_run` on the test clips."""
    comparison: Comparison | None
    """Metric differences "best - default" on the test clips; None if the default is the best."""

    @property
    def verdict(self) -> str:
        """One sentence that compares the best and the default configuration."""
        if self.comparison is None:
            return "The search found nothing better than the default configuration."
        return self.comparison.overall


def conclude_search(
    spec: StudySpec,
    best: FrozenTrial,
    trials: list[FrozenTrial],
    features: FeatureSet,
    split: Split,
) -> Conclusion:
    """Train models with the best and the default configuration, and compare the models.

    The comparison is paired and uses the test clips. Trials never use these clips.
    """
    config = spec.with_search_metric(spec.space.config(best.user_attrs["overrides"]))
    write_config(spec.run.search_dir / "best.yaml", config)
    refitter = _Refitter(spec, features, split)
    best_run = refitter.refit(
        f"trial-{best.number:04d}", _registered(spec, config), best.user_attrs["best_epochs"]
    )
    comparison = None
    if not best.user_attrs.get(IS_DEFAULT):
        default = spec.with_search_metric(spec.config)
        best_epochs = _default_epochs(spec, trials)
        if best_epochs is None:
            best_epochs = [refitter.choose_epoch(_DEFAULT, default)]
        default_run = refitter.refit(_DEFAULT, default, best_epochs)
        comparison = compare_runs(default_run.path, best_run.path, split=_TEST)
        write_json(spec.run.search_dir / "comparison.json", comparison.to_json())
        draw_comparison(
            comparison, default_run.path, best_run.path, split=_TEST, output_dir=spec.run.path
        )
    return Conclusion(
        best=best,
        best_run=best_run,
        report=read_report(best_run.evaluation_path),
        comparison=comparison,
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
        conclusion.verdict,
    ]
    tags = {
        "best_trial": best.number,
        "best_run_id": trial_run_id(spec, best),
        "mlflow.note.content": "\n\n".join(line.strip() for line in lines if line.strip()),
        **{f"best.{name}": value for name, value in best.user_attrs["overrides"].items()},
    }
    run_log.log_tags(tags)


def register_model(run: RunDirectory, config: ExperimentConfig) -> None:
    """Register the model of a finished run with the model name and the alias in `config`."""
    wanted, found = config.tracking, load_run_config(run.config_path).tracking
    if not wanted.package_model or wanted == found:
        return
    with run.locked():
        forget_files(run, run.config_path)
        write_config(run.config_path, config)
        record_files(run, run.config_path)
        RunLog(run.run_log_path).log_model(
            registered_model=wanted.registered_model, alias=wanted.alias
        )
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
        if read_last_status(run) == "FINISHED":
            register_model(run, config)
        else:
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
        visualize_run(run)
        with run.locked():
            RunLog(run.run_log_path).log_artifacts([*FIGURE_FOLDERS, run.report_path.name])
            deliver_rest(run)


def _registered(spec: StudySpec, config: ExperimentConfig) -> ExperimentConfig:
    name, alias = config.tracking.registered_model or config.name, spec.config.search.alias
    tracking = dataclasses.replace(config.tracking, registered_model=name, alias=alias)
    return dataclasses.replace(config, tracking=tracking)


def _default_epochs(spec: StudySpec, trials: list[FrozenTrial]) -> list[int] | None:
    """Return the best epochs of the default configuration, or None if they are unknown.

    With `refit: train`, the epochs are not needed. Unknown epochs then give an empty list.
    """
    for trial in trials:
        if trial.user_attrs.get(IS_DEFAULT) and trial.state == TrialState.COMPLETE:
            return list(trial.user_attrs["best_epochs"])
    return [] if spec.config.search.refit == "train" else None
