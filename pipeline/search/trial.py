"""Run one trial: train a model with the proposed settings, and return the objective values."""

import dataclasses
import shutil
import time
import traceback
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import optuna

from pipeline.config.run_name import name_with_settings
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import PipelineError, PrunedError
from pipeline.core.files import write_text
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.core.urls import hide_passwords
from pipeline.data.batches import inference_batches
from pipeline.data.feature_set import FeatureSet
from pipeline.models.trainability import count_weights
from pipeline.search.mlflow_runs import share_trial_run
from pipeline.search.networks import TrialNetworks
from pipeline.search.study.retries import IS_DEFAULT, RETRY_OF
from pipeline.search.study_spec import (
    StudySpec,
    TrialFit,
    plan_fits,
    search_split,
    without_outputs,
)
from pipeline.training.fit import FitHooks, FitResult
from pipeline.workflows.features import open_features, select_used_streams
from pipeline.workflows.session import open_session
from pipeline.workflows.training_steps import Experiment, train_nested

_NUM_WARM_UP_CALLS = 3
_NUM_TIMED_CALLS = 30


class EpochReport(keras.callbacks.Callback):
    """Report each epoch of a trial to Optuna, and prune the trial if other trials are better.

    The reported value is a mean over the fits: the best value of each complete fit, and the
    current value of the running fit. The step of a report is the epoch plus `num_steps` for each
    complete fit. Therefore trials are compared at the same epoch of the same fit, even if training
    stops early.

    `monitor` is the key of the objective in the epoch logs. `num_epochs` is the maximum number of
    epochs of a fit in this trial. `num_steps` is the largest `num_epochs` that a trial of the study
    can have. `is_reported` is False for two objectives, because Optuna then accepts no reports.
    """

    def __init__(
        self,
        trial: optuna.Trial,
        *,
        monitor: str,
        num_epochs: int,
        num_steps: int,
        num_fits: int = 1,
        is_reported: bool,
    ) -> None:
        super().__init__()
        self._trial = trial
        self._monitor = monitor
        self._num_epochs = num_epochs
        self._num_steps = num_steps
        self._num_fits = num_fits
        self._is_reported = is_reported
        self._best_values: list[float] = []
        self._newest: tuple[int, float] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self._newest = (epoch + 1, float((logs or {})[self._monitor]))

    def commit(self) -> None:
        """Report the newest epoch to Optuna. Call this method after this epoch is saved.

        Raises:
            PrunedError: If the trial is pruned.
        """
        if self._newest is None:
            return
        epoch, value = self._newest
        step = len(self._best_values) * self._num_steps + epoch
        self._report(float(np.mean([*self._best_values, value])), step)
        # Pruning after the last epoch would lose the value and save no time.
        is_last_fit = len(self._best_values) == self._num_fits - 1
        if not (is_last_fit and epoch >= self._num_epochs):
            self._prune(f"at epoch {epoch}", value)

    def finish_fit(self, best_value: float) -> None:
        """Store the best value of a fit. After a short fit, report the mean of all best values.

        A fit is short if it ended before epoch `num_steps`. The last fit is not reported here.

        Raises:
            PrunedError: If the trial is pruned before the next fit.
        """
        epoch, _ = self._newest or (0, best_value)
        self._best_values.append(best_value)
        num_done = len(self._best_values)
        if epoch < self._num_steps and num_done < self._num_fits:
            mean = float(np.mean(self._best_values))
            self._report(mean, num_done * self._num_steps)
            self._prune(f"after {num_done} of {self._num_fits} fits", mean)

    def _report(self, value: float, step: int) -> None:
        if self._is_reported:
            self._trial.report(value, step)

    def _prune(self, when: str, value: float) -> None:
        # The default trial is never pruned, because the best trial is compared with it.
        can_prune = self._is_reported and not self._trial.user_attrs.get(IS_DEFAULT)
        if can_prune and self._trial.should_prune():
            raise PrunedError(f"stopped {when} with {self._monitor} {value:.4f}")


class TrialObjective:
    """Objective function of a study. The features are opened once for all trials."""

    def __init__(self, spec: StudySpec) -> None:
        self._spec = spec
        self._features = open_features(spec.config.data)
        split = search_split(self._features, spec.config)
        self._fits = plan_fits(self._features, split, spec.config)
        self._networks = TrialNetworks()

    def __call__(self, trial: optuna.Trial) -> float | tuple[float, float]:
        """Run one trial and return one or two objective values.

        Raises:
            TrialPruned: If the trial was pruned.
            Exception: If training fails. The trial attribute `reason` then contains the message.
        """
        run = self._spec.trial_run(trial.number)
        try:
            return self._run(trial, run)
        except PrunedError as pruned:
            raise optuna.TrialPruned(str(pruned)) from None
        except Exception as error:
            trial.set_user_attr("reason", _reason(error))
            if not isinstance(error, PipelineError):
                write_text(run.path / "error.txt", hide_passwords(traceback.format_exc()))
            raise
        finally:
            # `commit` in `_train` does this too, but a short trial may end before its first call.
            share_trial_run(trial, run)

    def _run(self, trial: optuna.Trial, run: RunDirectory) -> float | tuple[float, float]:
        overrides = self._spec.space.propose(trial)
        trial.set_user_attr("overrides", overrides)
        config = trial_config(self._spec, overrides)
        name = name_with_settings(f"trial-{trial.number:04d}", overrides)
        report = EpochReport(
            trial,
            monitor=f"val_{config.training.monitor}",
            num_epochs=config.training.num_epochs,
            num_steps=self._spec.space.max_epochs,
            num_fits=len(self._fits),
            is_reported=len(self._spec.objectives) == 1,
        )
        if len(self._fits) == 1:
            parent = self._spec.run
            results = [self._train(run, self._fits[0], config, report, trial, parent, name)]
        else:
            results = self._train_fits(run, config, report, trial, name)
        trial.set_user_attr("best_epochs", [result.best_epoch for result, _ in results])
        value = float(np.mean([result.best_value for result, _ in results]))
        cost = self._cost(results[0][1], config)
        return value if cost is None else (value, cost)

    def _train_fits(
        self,
        run: RunDirectory,
        config: ExperimentConfig,
        report: EpochReport,
        trial: optuna.Trial,
        name: str,
    ) -> list[tuple[FitResult, keras.Model]]:
        """Train one model per fit. Each fit has its own run, nested in the run of the trial."""
        run.path.mkdir(parents=True, exist_ok=True)
        num_steps = config.training.num_epochs * len(self._fits)
        with open_session(
            run, config, num_steps=num_steps, run_name=name, parent=self._spec.run
        ) as session:
            session.run_log.log_tags(self._tags(trial))
            results = []
            for fit in self._fits:
                directory = RunDirectory(run.folds_dir / fit.name)
                results.append(self._train(directory, fit, config, report, trial, run, fit.name))
            _log_mean(session.run_log, [result for result, _ in results])
        return results

    def _train(
        self,
        run: RunDirectory,
        fit: TrialFit,
        config: ExperimentConfig,
        report: EpochReport,
        trial: optuna.Trial,
        parent: RunDirectory,
        name: str,
    ) -> tuple[FitResult, keras.Model]:
        config = dataclasses.replace(config, seed=fit.seed)
        features = select_used_streams(self._features, config)
        network, models = self._networks.build(config, features)

        def commit() -> None:
            share_trial_run(trial, self._spec.trial_run(trial.number))
            report.commit()

        hooks = FitHooks(
            callbacks=[report],
            on_commit=commit,
            is_resumable=False,
            shows_progress=False,
            models=models,
        )
        experiment = Experiment(config=config, features=features, split=fit.split, run_name=name)
        tags = self._tags(trial)
        try:
            outcome = train_nested(
                run, experiment, parent=parent, build=lambda: network, hooks=hooks, tags=tags
            )
        finally:
            # A retried trial starts at the first epoch, so the saved weights are not needed.
            shutil.rmtree(run.checkpoints_dir, ignore_errors=True)
        report.finish_fit(outcome.fit.best_value)
        return outcome.fit, network

    def _tags(self, trial: optuna.Trial) -> dict[str, Any]:
        tags = {"kind": "trial", "study": self._spec.study_name, "trial": trial.number}
        retry_of = trial.user_attrs.get(RETRY_OF)
        return tags if retry_of is None else {**tags, "retry_of": retry_of}

    def _cost(self, network: keras.Model, config: ExperimentConfig) -> float | None:
        second = self._spec.config.search.second_objective
        if second == "weights":
            return float(count_weights(network).total)
        if second == "latency_ms":
            return _clip_latency_ms(network, select_used_streams(self._features, config))
        return None


def trial_config(spec: StudySpec, overrides: dict[str, Any]) -> ExperimentConfig:
    """Return the configuration of a trial.

    The best epoch is the epoch with the best search metric. Figures and model packaging are
    turned off, because they take longer than training.
    """
    config = without_outputs(spec.with_search_metric(spec.space.config(overrides)))
    tracking = dataclasses.replace(config.tracking, system_metrics=False)
    return dataclasses.replace(config, tracking=tracking)


def _clip_latency_ms(network: keras.Model, features: FeatureSet) -> float:
    """Return the median prediction time for one clip, in milliseconds."""
    batch = next(iter(inference_batches(features, np.arange(1), batch_size=1)))
    inputs = [np.asarray(each) for each in batch]
    seconds = []
    for _ in range(_NUM_WARM_UP_CALLS + _NUM_TIMED_CALLS):
        start = time.perf_counter()
        network.predict_on_batch(inputs)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds[_NUM_WARM_UP_CALLS:]))


def _log_mean(run_log: RunLog, results: Sequence[FitResult]) -> None:
    """Log the validation metrics at the best epoch, averaged over the fits."""
    scores = [result.best_metrics or {} for result in results]
    metrics = {
        f"evaluation/validation/{metric}/{trait}": float(
            np.mean([each[metric][trait] for each in scores])
        )
        for metric, traits in scores[0].items()
        for trait in traits
    }
    run_log.log_metrics(metrics)


def _reason(error: Exception) -> str:
    lines = hide_passwords(str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
