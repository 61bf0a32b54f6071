"""Trains a configuration once more at the end of a search, and judges it on the held-out clips."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.config.loading import config_hash, load_run_config, write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import RunLog, read_last_status
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split
from pipeline.records.evaluation import EvaluationReport, read_report
from pipeline.records.manifest import forget_files, record_files
from pipeline.search.study_spec import SearchJob
from pipeline.tracking.mirror import deliver_rest
from pipeline.workflows.cross_validation import for_all_clips
from pipeline.workflows.evaluate import evaluate_run
from pipeline.workflows.session import with_run_name
from pipeline.workflows.train import build_for
from pipeline.workflows.training_steps import Experiment, read_best_epoch, train_nested
from pipeline.workflows.visualize import FIGURE_FOLDERS, visualize_run

TEST = "test"


class Refitter:
    """Trains configurations on the clips that the search was allowed to see.

    Args:
        job: The study.
        features: The clips.
        split: The split of the search.
    """

    def __init__(self, job: SearchJob, features: FeatureSet, split: Split) -> None:
        self._job = job
        self._features = features
        self._split = split

    def refit(
        self, name: str, config: ExperimentConfig, best_epochs: Sequence[int]
    ) -> RunDirectory:
        """Train `config` in a run of its own, and judge it on the test clips.

        What is done already is left as it is; what was cut off is continued.

        Args:
            name: What the run is called.
            config: The configuration.
            best_epochs: Best epoch of each fit that chose it; empty holds the validation
                clips out to choose it again.
        """
        split = self._split
        if self._job.config.search.refit == "train_validation" and best_epochs:
            rows = np.concatenate([split.train, split.validation])
            split = Split(train=rows, validation=rows[:0], test=split.test)
            config = for_all_clips(config, best_epochs)
        run = self._train(name, config, split)
        if not _is_judged(run):
            evaluate_run(run.path, None, split=TEST)
        _draw_evaluated(run)
        return run

    def choose_epoch(self, name: str, config: ExperimentConfig) -> int:
        """Return the best epoch of a configuration that no trial has been of."""
        run = self._train(f"{name}-epoch", without_model(config), self._split)
        return read_best_epoch(run)

    def _train(self, name: str, config: ExperimentConfig, split: Split) -> RunDirectory:
        # Named by what it is trained with, too: a search that goes on with another way to
        # refit must not take up, or compare with, what was trained in the old one.
        run = RunDirectory(self._job.run.refits_dir / f"{name}-{config_hash(config)[:8]}")
        named = with_run_name(config, f"{self._job.study_name}-{name}")
        if read_last_status(run) == "FINISHED":
            _register_as(run, named)
        else:
            train_nested(
                run,
                Experiment(config=named, features=self._features, split=split),
                parent=self._job.run,
                build=lambda: build_for(named, self._features),
                tags={"kind": "refit", "study": self._job.study_name, "role": name},
            )
        return run


def _register_as(run: RunDirectory, config: ExperimentConfig) -> None:
    """Register the model of a finished run as a later call wants it to be."""
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


def _is_judged(run: RunDirectory) -> bool:
    """Return whether the evaluation of a run is whole, and of the clips held out of the search."""
    if not (run.predictions_path(TEST).exists() and run.evaluation_path.exists()):
        return False
    return read_report(run.evaluation_path).split == TEST


def _draw_evaluated(run: RunDirectory) -> None:
    """Draw a run and write its report again, now that it is judged."""
    if not run.report_path.exists():
        return
    if run.report_path.stat().st_mtime > run.predictions_path(TEST).stat().st_mtime:
        return
    visualize_run(run)
    with run.locked():
        paths = [*FIGURE_FOLDERS, run.report_path.name]
        RunLog(run.run_log_path).log_artifacts(paths)
        deliver_rest(run)


def without_model(config: ExperimentConfig) -> ExperimentConfig:
    """Return the configuration of a run whose model nobody will ask for."""
    return dataclasses.replace(
        config,
        evaluation=dataclasses.replace(config.evaluation, figures=False),
        tracking=dataclasses.replace(config.tracking.unregistered(), package_model=False),
    )


def held_out_report(run: RunDirectory) -> EvaluationReport:
    """Return the evaluation of a refit on the clips held out of the search."""
    return read_report(run.evaluation_path)
