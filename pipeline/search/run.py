"""A search, whole: from a space and a configuration to a better one, or to the word that not."""

import contextlib
import dataclasses
import functools
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.config.checks import check_registered_model
from pipeline.config.loading import flatten, write_config
from pipeline.config.schema import ExperimentConfig
from pipeline.core.errors import RunError, SearchError
from pipeline.core.run_directory import RUNS_DIR, RunDirectory
from pipeline.core.run_log import RunLog
from pipeline.core.tensorflow_import import import_tensorflow_quietly
from pipeline.core.urls import absolute_url, hide_passwords, sqlite_url
from pipeline.data.feature_set import FeatureSet
from pipeline.data.splits import Split
from pipeline.search.close_lost_runs import end_orphan
from pipeline.search.coordinator import Coordinator, Limits
from pipeline.search.figures import SearchFigures, draw_search
from pipeline.search.fits import plan_parts, search_split
from pipeline.search.progress import SearchProgress
from pipeline.search.space.space_file import load_space
from pipeline.search.study.export import write_study
from pipeline.search.study.retries import Retry
from pipeline.search.study.sampling import prunes, quiet_optuna
from pipeline.search.study.storage import STORAGE_ERRORS
from pipeline.search.study.study import directory_token, is_home, open_study, place_of
from pipeline.search.study.study_status import Standing, read_standing
from pipeline.search.study_spec import SearchJob
from pipeline.search.trial_directory import trial_mlflow_run
from pipeline.search.worker import start_worker
from pipeline.tracking.check_store import check_store
from pipeline.tracking.mirror import deliver_rest
from pipeline.tracking.run_link import Link, read_link, write_link
from pipeline.tracking.store import hide_run_urls, store_environment, tracking_uri
from pipeline.workers.pool import WorkerPool
from pipeline.workers.process_pool import ProcessPool
from pipeline.workers.ray_pool import RayPool
from pipeline.workflows.features import (
    check_columns,
    check_labels_vary,
    log_feature_warnings,
    open_features,
    with_absolute_paths,
)
from pipeline.workflows.session import Session, open_session, with_run_name

if TYPE_CHECKING:
    from pipeline.search.conclude import Conclusion

_logger = logging.getLogger(__name__)

_ARTIFACTS = ("search", "search_visualizations", "comparison", "events.jsonl")
_MOST_WORKERS = 8
_TRIALS_PER_WORKER = 15
"""Trials after which a worker is replaced: TensorFlow keeps about 30 MB of each model."""
_HOME_SECONDS = 20.0
"""How long a machine that helps waits for the MLflow run of the study before it begins."""
_MLFLOW_RUN = "mlflow_run_id"
"""Attribute of a study: its MLflow run, in which the trials of all machines are nested."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """How one call of a search goes about it; another call of the same study may differ."""

    num_trials: int | None = None
    """Trials of the study in all; None where only time ends it."""
    timeout_minutes: float | None = None
    """Time after which no trial is begun."""
    num_workers: int | None = None
    """Trials at a time; as many as there are cores, eight at the most, unless given."""
    storage: str = ""
    """Database URL; a SQLite file in the run directory unless given."""
    study: str = ""
    """Name of the study; of the configuration and the space unless given."""
    run_dir: Path | None = None
    """Where the study is kept on this machine; named by the study unless given."""
    engine: Literal["local", "ray"] = "local"
    """Workers as processes of this machine, or as Ray actors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOutcome:
    """What a call of a search came to."""

    run: RunDirectory
    study_name: str
    standing: Standing
    conclusion: "Conclusion | None"
    """None on a machine that has helped with a study of another's."""
    undelivered: str | None
    """Why MLflow does not have all of it."""
    home: str = ""
    """Where the study is concluded, if not here."""
    figures: SearchFigures | None = None
    """Figures of the study, if it is concluded here."""


def run_search(config: ExperimentConfig, space_path: Path, options: SearchOptions) -> SearchOutcome:
    """Search, or go on with a search; then train the best once more and judge it.

    Args:
        config: The configuration that the search starts from.
        space_path: YAML file of the space.
        options: How this call goes about it.

    Raises:
        PipelineError: If something cannot be used; nothing has been tried then.
        SearchError: If nothing but failures came of it.
    """
    quiet_optuna()
    hide_run_urls()
    config = with_absolute_paths(config)
    features = open_features(config.data)
    check_labels_vary(features)
    log_feature_warnings(features)
    config = _holding_out(config, features)
    space = load_space(space_path, config)
    split = search_split(features, config)
    plan_parts(features, split, config)
    held_out = np.concatenate([split.train, split.validation])
    check_columns(features, config.evaluation.by, held_out)
    name = options.study or f"{config.name}-{space.name}"
    folder = re.sub(r"[^\w.-]+", "-", name).lstrip(".") or "study"
    study_dir = (options.run_dir or RUNS_DIR / folder).absolute()
    job = SearchJob(
        config=config,
        space=space,
        study_name=name,
        storage_url=absolute_url(options.storage) or sqlite_url(study_dir / "study.db"),
        study_dir=study_dir,
    )
    if "MLFLOW_RUN_ID" in os.environ and hide_passwords(options.storage) != options.storage:
        _logger.warning(
            "`mlflow run` has logged --storage as a parameter, with its password. Change the "
            "password, and give the new one in the variable PGPASSWORD."
        )
    _refuse_other_run(job)
    _check_tracking(config)
    study = open_study(job, features_digest=features.digest)
    if not is_home(job, study):
        return _help(job, study, options)
    return _lead(job, study, options, features, split)


def _lead(
    job: SearchJob, study: optuna.Study, options: SearchOptions, features: FeatureSet, split: Split
) -> SearchOutcome:
    """Run the study where it was made, and conclude it."""
    run = job.run
    run.path.mkdir(parents=True, exist_ok=True)
    _refuse_second_leader(run)
    write_config(run.config_path, job.config)
    is_new = not run.run_log_path.exists()
    # `mlflow run` has named its run already.
    is_named = job.config.tracking.run_name or "MLFLOW_RUN_ID" in os.environ
    config = job.config if is_named else with_run_name(job.config, job.study_name)
    with open_session(run, config, num_steps=1) as session:
        if is_new:
            _describe(session, job)
        else:
            session.run_log.log_resumed(0, offset=session.run_log.size)
        # Trials are nested in the run of the study: it has to be there before them.
        deliver_rest(run)
        standing = _search(
            job,
            study,
            options,
            run_log=session.run_log,
            wake=session.wake_mirror,
            share_mlflow_run=functools.partial(_note_mlflow_run, run, study),
        )
        write_study(job, study)
        figures = draw_search(run)
        if standing.best is None:
            raise SearchError(
                f"none of {standing.num_done} trials came to its end, so there is nothing to "
                f"choose from; {run.search_dir / 'trials.csv'} says why. Give --num_trials or "
                "--timeout_minutes more room, or change the space."
            )
        conclusion = _conclude(job, study, standing.best, features, split)
        _tell_conclusion(session, job, study, conclusion)
    return SearchOutcome(
        run=run,
        study_name=job.study_name,
        standing=standing,
        conclusion=conclusion,
        undelivered=session.mirror.undelivered,
        figures=figures,
    )


def _conclude(
    job: SearchJob, study: optuna.Study, best: FrozenTrial, features: FeatureSet, split: Split
) -> "Conclusion":
    # TensorFlow is loaded only now: while workers run it would be a gigabyte for nothing.
    import_tensorflow_quietly()
    from pipeline.search.conclude import conclude_search

    return conclude_search(job, best, study.get_trials(deepcopy=False), features, split)


def _help(job: SearchJob, study: optuna.Study, options: SearchOptions) -> SearchOutcome:
    """Run trials of a study that was made on another machine, which will conclude it."""
    run = job.run
    run.path.mkdir(parents=True, exist_ok=True)
    write_config(run.config_path, job.config)
    job = dataclasses.replace(job, sampler_stream=f"sampler of {directory_token(job)}")
    with run.locked():
        if job.config.tracking.enabled:
            _wait_for_home(job, study)
        standing = _search(
            job,
            study,
            options,
            run_log=None,
            wake=lambda: None,
            share_mlflow_run=functools.partial(_link_to_home, job, study),
        )
        undelivered = deliver_rest(run)
    return SearchOutcome(
        run=run,
        study_name=job.study_name,
        standing=standing,
        conclusion=None,
        undelivered=undelivered,
        home=place_of(study),
    )


def _search(
    job: SearchJob,
    study: optuna.Study,
    options: SearchOptions,
    *,
    run_log: RunLog | None,
    wake: Callable[[], None],
    share_mlflow_run: Callable[[], bool],
) -> Standing:
    """Run trials until the study is done.

    Args:
        job: The study, as its workers see it.
        study: The study in its storage.
        options: The limits and the workers.
        run_log: Run log of the study; None if another machine writes it.
        wake: Wakes the mirror of the study.
        share_mlflow_run: Passes the MLflow run of the study between its machines; returns
            whether that is done. It is called until then: MLflow may be down at the start.
    """
    minutes = options.timeout_minutes
    limits = Limits(
        num_trials=options.num_trials, timeout_seconds=None if minutes is None else 60 * minutes
    )
    progress = SearchProgress(
        job.objectives, num_trials=limits.num_trials, timeout_seconds=limits.timeout_seconds
    )

    def tell_end(trial: FrozenTrial) -> None:
        progress.tell(trial)
        if run_log is not None:
            _log_trial(run_log, job, study, trial)
            wake()

    def tell_lost(trial: FrozenTrial, is_retried: bool) -> None:
        progress.tell_lost(trial, is_retried=is_retried)
        end_orphan(job, trial)
        wake()

    is_shared = not job.config.tracking.enabled or share_mlflow_run()

    def tick(standing: Standing) -> None:
        nonlocal is_shared
        is_shared = is_shared or share_mlflow_run()
        progress.show(standing)

    for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
        end_orphan(job, trial)  # that an earlier call was killed before it could

    coordinator = Coordinator(
        study=study,
        pool=_pool(job, options),
        limits=limits,
        retry=Retry(max_retries=job.config.search.max_retries),
        heartbeat_seconds=job.config.search.heartbeat_seconds,
        on_end=tell_end,
        on_lost=tell_lost,
        on_tick=tick,
    )
    with progress:
        try:
            standing = coordinator.run()
        except BaseException:
            with contextlib.suppress(*STORAGE_ERRORS):
                write_study(job, study)
            raise
        coordinator.pool.close()
    return standing


def _pool(job: SearchJob, options: SearchOptions) -> WorkerPool:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    num_workers = options.num_workers or min(cores, _MOST_WORKERS)
    num_threads = max(1, cores // num_workers)
    # Ray starts workers without the environment of this process, and no file holds passwords.
    start = functools.partial(
        start_worker, job, num_threads=num_threads, environment=store_environment()
    )
    if options.engine == "local":
        return ProcessPool(start, num_workers=num_workers, max_tasks=_TRIALS_PER_WORKER)
    return RayPool(
        start,
        num_workers=num_workers,
        num_cores=num_threads,
        uses_gpus=True,
        max_tasks=_TRIALS_PER_WORKER,
    )


def _holding_out(config: ExperimentConfig, features: FeatureSet) -> ExperimentConfig:
    """Return the configuration with clips held out for the end, if it does not do so itself."""
    column = features.split_column
    if config.data.test_fraction or (column is not None and (column == "test").any()):
        return config
    data = dataclasses.replace(config.data, test_fraction=config.search.test_fraction)
    return dataclasses.replace(config, data=data)


def _check_tracking(config: ExperimentConfig) -> None:
    """Check what MLflow would refuse only after the search.

    Raises:
        PipelineError: If the runs have no place in MLflow, or the best model no valid name.
    """
    tracking = config.tracking
    if not tracking.enabled:
        return
    check_store(tracking.experiment)
    if tracking.package_model and not tracking.registered_model:
        check_registered_model("name", config.name)  # the name that the best model gets


def _refuse_second_leader(run: RunDirectory) -> None:
    """Refuse to lead a study from a directory in which it is led already."""
    try:
        with run.locked():
            return
    except RunError:
        raise SearchError(
            f"{run.path}: the search is running from this directory already. To help it from "
            "another machine, give --run_dir a directory of that machine's own."
        ) from None


def _refuse_other_run(job: SearchJob) -> None:
    """Refuse a directory that holds something else than this study."""
    run = job.run
    if run.path.exists() and any(run.path.iterdir()) and not _is_study(run):
        raise RunError(
            f"{run.path}: exists and holds no study. Give another --run_dir, or another --study."
        )


def _is_study(run: RunDirectory) -> bool:
    names = ("study.db", "search", "trials")
    return any((run.path / name).exists() for name in names) or (
        run.config_path.exists() and not (run.summary_path.exists() or run.checkpoints_dir.exists())
    )


def _describe(session: Session, job: SearchJob) -> None:
    """Tell the run log what is searched, where, and how."""
    settings = {
        f"config.{name}": value
        for name, value in flatten(job.config).items()
        if name.startswith("search.")
    }
    session.run_log.log_params(settings)
    tags = {
        "kind": "study",
        "study": job.study_name,
        "space": job.space.name,
        "storage": hide_passwords(job.storage_url),
        "pruner": job.config.search.pruner if prunes(job.config.search) else "none",
    }
    session.run_log.log_tags(tags)


def _log_trial(run_log: RunLog, job: SearchJob, study: optuna.Study, trial: FrozenTrial) -> None:
    """Tell the run log a trial's objective, and the best so far."""
    metrics: dict[str, float] = {}
    if trial.state == TrialState.COMPLETE:
        named = zip(job.objectives, trial.values, strict=True)
        metrics |= {f"search/{name}": value for name, value in named}
    best = read_standing(study).best
    if best is not None:
        metrics[f"search/best_{job.objectives[0]}"] = best.values[0]
    if metrics:
        run_log.log_metrics(metrics, step=trial.number)


def _tell_conclusion(
    session: Session, job: SearchJob, study: optuna.Study, conclusion: "Conclusion"
) -> None:
    """Put the best trial's settings and scores on the run of the study itself.

    MLflow shows nested runs folded: what the search came to has to be on the parent.
    """
    report, best, run_log = conclusion.report, conclusion.best, session.run_log
    num_trials, score = len(study.get_trials(deepcopy=False)), f"{best.values[0]:.5f}"
    metrics = {
        f"evaluation/test/{metric}/{trait}": interval.value
        for metric, traits in report.metrics.items()
        for trait, interval in traits.items()
    }
    run_log.log_metrics(metrics)
    settings = {f"best.{name}": value for name, value in conclusion.overrides.items()}
    lines = [
        job.config.description,
        f"Search of {num_trials} trials; best: trial {best.number}, {job.objectives[0]} {score}.",
        conclusion.verdict,
    ]
    tags = {
        "best_trial": best.number,
        "best_run_id": trial_mlflow_run(job, best),
        "mlflow.note.content": "\n\n".join(line.strip() for line in lines if line.strip()),
        **settings,
    }
    run_log.log_tags(tags)
    run_log.log_artifacts(_ARTIFACTS)


def _note_mlflow_run(run: RunDirectory, study: optuna.Study) -> bool:
    """Note the study's MLflow run where other machines find it, once there is one."""
    link = read_link(run.tracking_path)
    if link is None or not link.run_id:
        return False
    study.set_user_attr(_MLFLOW_RUN, link.run_id)
    return True


def _wait_for_home(job: SearchJob, study: optuna.Study) -> None:
    """Wait a while for the MLflow run of a study that another process is just beginning."""
    deadline = time.monotonic() + _HOME_SECONDS
    while not _link_to_home(job, study) and time.monotonic() < deadline:
        time.sleep(0.5)


def _link_to_home(job: SearchJob, study: optuna.Study) -> bool:
    """Nest the trials of this machine in the MLflow run of the study, once it is noted."""
    if read_link(job.run.tracking_path) is not None:
        return True
    run_id = study.user_attrs.get(_MLFLOW_RUN, "")
    if not run_id:
        return False
    link = Link(
        tracking_uri=tracking_uri(),
        experiment=job.config.tracking.experiment,
        run_name=job.study_name,
        run_id=run_id,
    )
    write_link(job.run.tracking_path, link)
    return True
