"""Run a hyper-parameter search, and compare the best with the default configuration."""

import contextlib
import dataclasses
import functools
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.config.loading import write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.cores import num_usable_cores
from pipeline.core.errors import RunError, SearchError
from pipeline.core.run_directory import RUNS_DIR, RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.core.tensorflow_import import import_tensorflow_quietly
from pipeline.core.urls import absolute_url, hide_passwords, sqlite_url
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split
from pipeline.search.coordinator import Coordinator
from pipeline.search.figures import SearchFigures, draw_search
from pipeline.search.mlflow_runs import (
    close_lost_run,
    link_study_run,
    share_study_run,
    wait_for_study_run,
)
from pipeline.search.progress import SearchProgress
from pipeline.search.space.space_file import load_space
from pipeline.search.study.retries import Retry
from pipeline.search.study.sampling import prunes, quiet_optuna
from pipeline.search.study.storage import (
    STORAGE_ERRORS,
    directory_token,
    is_main_process,
    main_process_place,
    open_study,
)
from pipeline.search.study.study_file import write_study
from pipeline.search.study.study_status import StudyStatus, read_status
from pipeline.search.study_spec import StudySpec, plan_fits, search_split
from pipeline.search.worker import start_worker
from pipeline.tracking.check_store import check_store
from pipeline.tracking.mirror import deliver_rest
from pipeline.tracking.mlflow_settings import hide_run_urls, store_environment
from pipeline.workers.pool import Engine, WorkerPool
from pipeline.workers.process_pool import ProcessPool
from pipeline.workers.ray_pool import RayPool
from pipeline.workflows.features import (
    check_columns,
    check_labels_vary,
    log_feature_warnings,
    log_features,
    open_features,
    with_absolute_paths,
)
from pipeline.workflows.new_run import settings_for_features
from pipeline.workflows.session import Session, open_session

if TYPE_CHECKING:
    from pipeline.search.conclude import Conclusion

_logger = logging.getLogger(__name__)

_ARTIFACTS = ("search", "search_visualizations", "comparison", "events.jsonl")
_MAX_WORKERS = 8
_TRIALS_PER_WORKER = 15
"""Number of trials per worker process. A new process frees the memory of TensorFlow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """Options of one call of `run_search`. Calls for the same study may have different options."""

    num_trials: int | None = None
    """Total number of trials of the study; None for no limit."""
    timeout_minutes: float | None = None
    """Time after which no new trial starts; None for no limit."""
    num_workers: int | None = None
    """Number of parallel trials; None for one per core, at most 8."""
    storage: str = ""
    """Database URL; if empty, a SQLite file in the run directory."""
    study: str = ""
    """Name of the study; if empty, configuration name and space name, joined by a hyphen."""
    run_dir: Path | None = None
    """Run directory of the study; None for a directory in `runs/` with the name of the study."""
    engine: Engine = "local"
    """Type of the workers: processes on this machine, or Ray actors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutcome:
    """Result of one call of `run_search`."""

    run: RunDirectory
    study_name: str
    status: StudyStatus
    conclusion: "Conclusion | None"
    """Final models and their comparison; None in a helper process."""
    undelivered: str | None
    """Reason why some results are not in MLflow yet; None if MLflow has all results."""
    main_process: str = ""
    """Directory and machine of the main process; empty in the main process."""
    figures: SearchFigures | None = None
    """Figures of the study; None in a helper process."""


def run_search(
    config: ExperimentConfig,
    space_path: Path,
    options: SearchOptions,
    *,
    given: Collection[str] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> SearchOutcome:
    """Start or continue a search, then recommend the best or the default configuration.

    The space file lists the settings of `config` that the trials vary. The main process uses the
    run directory in which the study was created. Processes with other run directories are helper
    processes, which only run trials.

    `given` contains the dotted names of the settings that the user has given, if the other settings
    depend on the number of clips, as in a training without a configuration file. `report` gets one
    line with these settings.

    Raises:
        PipelineError: If the input is invalid. In this case, no trial starts.
        SearchError: If no trial is complete.
    """
    quiet_optuna()
    hide_run_urls()
    config = with_absolute_paths(config)
    features = open_features(config.data)
    check_labels_vary(features)
    log_feature_warnings(features)
    config = _with_test_subset(config, features)
    if given is not None:
        config, chosen = settings_for_features(config, features, given=given)
        report(chosen)
    space = load_space(space_path, config)
    split = search_split(features, config)
    plan_fits(features, split, config)
    held_out = np.concatenate([split.train, split.validation])
    check_columns(features, config.evaluation.by, held_out)
    name = options.study or f"{config.name}-{space.name}"
    folder = re.sub(r"[^\w.-]+", "-", name).lstrip(".") or "study"
    study_dir = (options.run_dir or RUNS_DIR / folder).absolute()
    spec = StudySpec(
        config=config,
        space=space,
        study_name=name,
        storage_url=absolute_url(options.storage) or sqlite_url(study_dir / "study.db"),
        study_dir=study_dir,
    )
    if "MLFLOW_RUN_ID" in os.environ and hide_passwords(options.storage) != options.storage:
        _logger.warning(
            "`mlflow run` has logged the parameter --storage with the password. Change the "
            "password, and give the new password in the environment variable PGPASSWORD."
        )
    _check_run_directory(spec.run)
    if config.tracking.enabled:
        check_store(config.tracking.experiment)
    study = open_study(spec, features_hash=features.digest)
    spec.run.path.mkdir(parents=True, exist_ok=True)
    _check_not_running(spec.run)
    write_config(spec.run.config_path, config)
    if not is_main_process(spec, study):
        return _run_as_helper(spec, study, options)
    return _run_as_main_process(spec, study, options, features, split)


def _run_as_main_process(
    spec: StudySpec, study: optuna.Study, options: SearchOptions, features: FeatureSet, split: Split
) -> SearchOutcome:
    """Run trials, then compare the best with the default configuration, and recommend one."""
    run = spec.run
    is_new = not run.run_log_path.exists()
    name = f"search {spec.study_name}"
    with open_session(run, spec.config, num_steps=1, run_name=name) as session:
        if is_new:
            _log_study(session.run_log, spec)
            num_clips = {name: len(rows) for name, rows in split.subsets() if len(rows)}
            log_features(session.run_log, features, num_clips)
        else:
            session.run_log.log_resumed(0, offset=session.run_log.size)
        # The MLflow runs of the trials need an existing parent run.
        deliver_rest(run)
        share_run = functools.partial(share_study_run, run, study)
        status = _run_trials(spec, study, options, share_run, session)
        write_study(spec, study)
        figures = draw_search(run)
        if status.best is None:
            raise SearchError(
                f"none of {status.num_done} trials is complete, so there is no best trial. The "
                f"reasons are in {run.search_dir / 'trials.csv'}. Increase --num_trials or "
                "--timeout_minutes, or change the space."
            )
        # TensorFlow uses 1 GB of memory that the workers may need, so it is imported late.
        import_tensorflow_quietly()
        from pipeline.search.conclude import conclude_search, log_conclusion

        trials = study.get_trials(deepcopy=False)
        conclusion = conclude_search(spec, status.best, trials, features, split)
        log_conclusion(session.run_log, spec, len(trials), conclusion)
        if conclusion.run.report_path.exists():
            shutil.copy(conclusion.run.report_path, run.search_dir / "best_report.html")
        session.run_log.log_artifacts(_ARTIFACTS)
    return SearchOutcome(
        run=run,
        study_name=spec.study_name,
        status=status,
        conclusion=conclusion,
        undelivered=session.mirror.undelivered,
        figures=figures,
    )


def _run_as_helper(spec: StudySpec, study: optuna.Study, options: SearchOptions) -> SearchOutcome:
    """Run trials in a helper process. The main process may run on another machine."""
    run = spec.run
    spec = dataclasses.replace(spec, sampler_stream=f"sampler of {directory_token(spec)}")
    with run.locked():
        if spec.config.tracking.enabled:
            wait_for_study_run(spec, study)
        link_run = functools.partial(link_study_run, spec, study)
        status = _run_trials(spec, study, options, link_run)
        undelivered = deliver_rest(run)
    return SearchOutcome(
        run=run,
        study_name=spec.study_name,
        status=status,
        conclusion=None,
        undelivered=undelivered,
        main_process=main_process_place(study),
    )


def _run_trials(
    spec: StudySpec,
    study: optuna.Study,
    options: SearchOptions,
    share_run: Callable[[], bool],
    session: Session | None = None,
) -> StudyStatus:
    """Run trials until the study is done.

    `share_run` stores or reads the id of the study's MLflow run. MLflow may be unreachable
    at first, so `share_run` is called until it returns True. Helper processes have no `session`.
    """
    timeout = None if options.timeout_minutes is None else 60 * options.timeout_minutes
    num_trials = options.num_trials
    progress = SearchProgress(spec.objectives, num_trials=num_trials, timeout_seconds=timeout)

    def on_end(trial: FrozenTrial) -> None:
        progress.show_end(trial)
        if session is not None:
            _log_trial(session.run_log, spec, study, trial)
            session.wake_mirror()

    def on_lost(trial: FrozenTrial, is_retried: bool) -> None:
        progress.show_lost(trial, is_retried=is_retried)
        close_lost_run(spec, trial)
        if session is not None:
            session.wake_mirror()

    is_shared = not spec.config.tracking.enabled or share_run()

    def on_tick(status: StudyStatus) -> None:
        nonlocal is_shared
        is_shared = is_shared or share_run()
        progress.show(status)

    for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
        close_lost_run(spec, trial)  # an earlier, killed call may have left the run open

    coordinator = Coordinator(
        study=study,
        pool=_pool(spec, options),
        num_trials=num_trials,
        timeout_seconds=timeout,
        retry=Retry(max_retries=spec.config.search.max_retries),
        heartbeat_seconds=spec.config.search.heartbeat_seconds,
        on_end=on_end,
        on_lost=on_lost,
        on_tick=on_tick,
    )
    with progress:
        try:
            status = coordinator.run()
        except BaseException:
            with contextlib.suppress(*STORAGE_ERRORS):
                write_study(spec, study)
            raise
        coordinator.pool.close()
    return status


def _pool(spec: StudySpec, options: SearchOptions) -> WorkerPool:
    num_cores = num_usable_cores()
    num_workers = options.num_workers or min(num_cores, _MAX_WORKERS)
    num_threads = max(1, num_cores // num_workers)
    # Ray workers inherit no environment variables, so the variables are passed as an argument.
    start = functools.partial(
        start_worker, spec, num_threads=num_threads, environment=store_environment()
    )
    limits: dict[str, Any] = {"num_workers": num_workers, "max_tasks": _TRIALS_PER_WORKER}
    if options.engine == "local":
        return ProcessPool(start, **limits)
    return RayPool(start, num_cores=num_threads, uses_gpus=True, **limits)


def _with_test_subset(config: ExperimentConfig, features: FeatureSet) -> ExperimentConfig:
    """Return the configuration. If it defines no test clips, use `search.test_fraction`."""
    column = features.split_column
    if config.data.test_fraction or (column is not None and (column == "test").any()):
        return config
    data = dataclasses.replace(config.data, test_fraction=config.search.test_fraction)
    return dataclasses.replace(config, data=data)


def _check_not_running(run: RunDirectory) -> None:
    try:
        with run.locked():
            return
    except RunError:
        raise SearchError(
            f"{run.path}: a search is already running in this directory. To run its trials on "
            "another machine, give --run_dir a directory of that machine."
        ) from None


def _check_run_directory(run: RunDirectory) -> None:
    """Check that the directory is empty or contains a study."""
    if not run.path.exists() or not any(run.path.iterdir()):
        return
    if any((run.path / name).exists() for name in ("study.db", "search", "trials")):
        return
    is_training_run = run.summary_path.exists() or run.checkpoints_dir.exists()
    if is_training_run or not run.config_path.exists():
        raise RunError(
            f"{run.path}: exists but contains no study. Give another --run_dir, or another --study."
        )


def _log_study(run_log: RunLog, spec: StudySpec) -> None:
    settings = dataclasses.asdict(spec.config.search)
    run_log.log_params({f"search.{name}": value for name, value in settings.items()})
    pruner = spec.config.search.pruner if prunes(spec.config.search) else "none"
    tags = {"kind": "study", "study": spec.study_name, "space": spec.space.name, "pruner": pruner}
    run_log.log_tags({**tags, "storage": hide_passwords(spec.storage_url)})


def _log_trial(run_log: RunLog, spec: StudySpec, study: optuna.Study, trial: FrozenTrial) -> None:
    """Log the objective values of a trial, and the best value so far."""
    metrics: dict[str, float] = {}
    if trial.state == TrialState.COMPLETE:
        for name, value in zip(spec.objectives, trial.values, strict=True):
            metrics[f"search/{name}"] = value
    best = read_status(study).best
    if best is not None:
        metrics[f"search/best_{spec.objectives[0]}"] = best.values[0]
    if metrics:
        run_log.log_metrics(metrics, step=trial.number)
