"""One trial: a proposal becomes a training, and its score the objective."""

import dataclasses
import shutil
import traceback
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import optuna

from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import PipelineError, PrunedError
from pipeline.core.files import write_text
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.core.urls import hide_passwords
from pipeline.data.feature_set import FeatureSet
from pipeline.models.trainability import count_weights
from pipeline.search.fits import Part, plan_parts, search_split
from pipeline.search.latency import clip_latency_ms
from pipeline.search.study.pruning import EpochReport
from pipeline.search.study.retries import RETRY_OF
from pipeline.search.study_spec import SearchJob
from pipeline.search.trial_directory import trial_directory
from pipeline.tracking.run_link import read_link
from pipeline.training.fit import FitHooks, FitResult
from pipeline.workflows.features import open_features
from pipeline.workflows.session import open_session, with_run_name
from pipeline.workflows.train import build_for
from pipeline.workflows.training_steps import Experiment, train_nested


def trial_config(job: SearchJob, overrides: dict[str, Any]) -> ExperimentConfig:
    """Return the configuration that `overrides` make of the study's.

    It decides the best epoch by what is searched for, and it draws nothing: a picture a
    trial would cost more than the trial.
    """
    config = job.space.config(overrides)
    return dataclasses.replace(
        config,
        training=dataclasses.replace(
            config.training, monitor=job.config.search.metric, num_folds=0
        ),
        evaluation=dataclasses.replace(config.evaluation, figures=False),
        tracking=dataclasses.replace(
            config.tracking.unregistered(), package_model=False, system_metrics=False
        ),
    )


class TrialObjective:
    """Runs trials, one after the other, on features that are opened once.

    Args:
        job: The study.
    """

    def __init__(self, job: SearchJob) -> None:
        self._job = job
        self._features: FeatureSet = open_features(job.config.data)
        split = search_split(self._features, job.config)
        self._parts: Sequence[Part] = plan_parts(self._features, split, job.config)

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, float]:
        """Run one trial; return its objective, or two of them.

        Raises:
            TrialPruned: If it lagged behind.
            Exception: What ended it; the reason is noted with the trial.
        """
        try:
            return self._run(trial)
        except PrunedError as pruned:
            raise optuna.TrialPruned(str(pruned)) from None
        except Exception as error:
            trial.set_user_attr("reason", _reason(error))
            if not isinstance(error, PipelineError):
                path = trial_directory(self._job, trial.number).path / "error.txt"
                write_text(path, hide_passwords(traceback.format_exc()))
            raise
        finally:
            # A short trial may have ended before its first delivery had.
            _note_mlflow_run(trial, trial_directory(self._job, trial.number))
            keras.backend.clear_session()

    def _run(self, trial: optuna.Trial) -> float | tuple[float, float]:
        overrides = self._job.space.propose(trial)
        trial.set_user_attr("overrides", overrides)
        config = with_run_name(
            trial_config(self._job, overrides),
            f"{self._job.study_name}-trial-{trial.number:04d}",
        )
        run = trial_directory(self._job, trial.number)
        report = EpochReport(
            trial,
            monitor=f"val_{config.training.monitor}",
            num_epochs=config.training.num_epochs,
            num_steps=self._job.space.most_epochs,
            num_parts=len(self._parts),
            is_reported=len(self._job.objectives) == 1,
        )
        if len(self._parts) == 1:
            results = [self._fit(run, self._parts[0], config, report, trial, self._job.run)]
        else:
            results = self._fit_parts(run, config, report, trial)
        trial.set_user_attr("best_epochs", [result.best_epoch for result, _ in results])
        value = float(np.mean([result.best_value for result, _ in results]))
        cost = self._cost(results[0][1])
        return value if cost is None else (value, cost)

    def _fit_parts(
        self, run: RunDirectory, config: ExperimentConfig, report: EpochReport, trial: optuna.Trial
    ) -> list[tuple[FitResult, keras.Model]]:
        """Fit every part in a run of its own, nested in the run of the trial."""
        run.path.mkdir(parents=True, exist_ok=True)
        num_steps = config.training.num_epochs * len(self._parts)
        with open_session(run, config, num_steps=num_steps, parent=self._job.run) as session:
            session.run_log.log_tags(self._tags(trial))
            results = []
            for part in self._parts:
                directory = RunDirectory(run.folds_dir / part.name)
                named = with_run_name(config, f"{config.tracking.run_name}-{part.name}")
                results.append(self._fit(directory, part, named, report, trial, run))
            _log_mean(session.run_log, [result for result, _ in results])
        return results

    def _fit(
        self,
        run: RunDirectory,
        part: Part,
        config: ExperimentConfig,
        report: EpochReport,
        trial: optuna.Trial,
        parent: RunDirectory,
    ) -> tuple[FitResult, keras.Model]:
        config = dataclasses.replace(config, seed=part.seed)
        experiment = Experiment(config=config, features=self._features, split=part.split)
        networks: list[keras.Model] = []

        def build() -> keras.Model:
            networks.append(build_for(config, self._features))
            return networks[0]

        def commit() -> None:
            _note_mlflow_run(trial, trial_directory(self._job, trial.number))
            report.commit()

        try:
            outcome = train_nested(
                run,
                experiment,
                parent=parent,
                build=build,
                hooks=FitHooks(
                    callbacks=[report],
                    on_commit=commit,
                    is_resumable=False,
                    shows_progress=False,
                ),
                tags=self._tags(trial),
            )
        finally:
            # The weights that it began with: a trial that is killed starts anew.
            shutil.rmtree(run.checkpoints_dir, ignore_errors=True)
        report.finish_part(outcome.fit.best_value)
        return outcome.fit, networks[0]

    def _tags(self, trial: optuna.Trial) -> dict[str, Any]:
        tags = {"kind": "trial", "study": self._job.study_name, "trial": trial.number}
        noted = trial.user_attrs
        return {**tags, "retry_of": noted[RETRY_OF]} if RETRY_OF in noted else tags

    def _cost(self, network: keras.Model) -> float | None:
        second = self._job.config.search.second_objective
        if second == "weights":
            return float(count_weights(network).total)
        if second == "latency_ms":
            return clip_latency_ms(network, self._features)
        return None


def _note_mlflow_run(trial: optuna.Trial, run: RunDirectory) -> None:
    """Note the MLflow run of a trial, so that another machine can end it if this one dies."""
    link = read_link(run.tracking_path)
    if link is not None and link.run_id and "mlflow_run_id" not in trial.user_attrs:
        trial.set_user_attr("mlflow_run_id", link.run_id)


def _log_mean(run_log: RunLog, results: Sequence[FitResult]) -> None:
    """Tell the run log the mean of the fits, each at its best epoch."""
    scores = [result.records[result.best_epoch - 1].val_metrics or {} for result in results]
    metrics = {
        f"validation/{metric}/{trait}": float(np.mean([each[metric][trait] for each in scores]))
        for metric, traits in scores[0].items()
        for trait in traits
    }
    run_log.log_metrics(metrics)


def _reason(error: Exception) -> str:
    lines = hide_passwords(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
