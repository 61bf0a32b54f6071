"""A study: made once, and only continued with what it was made for."""

import platform
import uuid
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from pipeline.config.loading import flatten
from pipeline.core.errors import SearchError
from pipeline.core.files import write_text
from pipeline.search.space.space import describe_difference
from pipeline.search.study.retries import IS_DEFAULT
from pipeline.search.study.storage import creation_lock
from pipeline.search.study_spec import SearchJob

_DEFINITION = "definition"
_SPACE = "space"
_HOME = "home"
_PLACE = "place"
_FREE = (
    "search.max_retries",
    "search.refit",
    "search.alias",
    "search.try_default",
    "name",
    "description",
    "tracking.",
    "data.features_dir",
    "data.static_features",
    "data.dynamic_features",
    "data.labels",
    "data.clips",
    "evaluation.",
)
"""Settings that may differ between two calls: no trial depends on them."""


def open_study(job: SearchJob, *, features_digest: str) -> optuna.Study:
    """Open the study of a job, or make it.

    Args:
        job: The study.
        features_digest: Digest of the features that trials are trained on.

    Raises:
        SearchError: If a study of this name has another space, other settings or features, or
            the directory has trials of another study.
    """
    with creation_lock(job.storage_url, "study"):
        return _open(job, features_digest)


def _open(job: SearchJob, features_digest: str) -> optuna.Study:
    storage = job.open_storage()
    definition = {**_settings(job), "features": features_digest}
    space = job.space.to_json()
    if job.study_name not in optuna.get_all_study_names(storage):
        _refuse_trials_of_another(job)
    try:
        study = optuna.create_study(
            study_name=job.study_name, storage=storage, directions=job.directions
        )
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=job.study_name, storage=storage)
        if _DEFINITION in study.user_attrs:
            _refuse_another(job, study, definition, space)
            return study
        _refuse_foreign(job, study)
    _define(job, study, definition, space)
    return study


def _refuse_trials_of_another(job: SearchJob) -> None:
    """Refuse to make a study where there are trials: its own would be written over them."""
    if any(job.run.trials_dir.glob("*")):
        raise SearchError(
            f"{job.study_dir}: holds trials of another study than {job.study_name!r}, or of one "
            "whose storage is gone. Give another --run_dir, or the --study and --storage of these."
        )


def is_home(job: SearchJob, study: optuna.Study) -> bool:
    """Return whether the study was made in this run directory, which will conclude it.

    A directory is known by a token in it: paths are the same on many machines, and change.
    """
    return bool(study.user_attrs.get(_HOME) == directory_token(job))


def directory_token(job: SearchJob) -> str:
    """Return what this run directory is known by; it is drawn when it is first asked for."""
    path = job.run.search_dir / "token.txt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")


def place_of(study: optuna.Study) -> str:
    """Return the machine and the directory that a study was made in."""
    return str(study.user_attrs.get(_PLACE, "the place it was made in"))


def _define(
    job: SearchJob, study: optuna.Study, definition: Mapping[str, Any], space: Mapping[str, Any]
) -> None:
    study.set_user_attr(_SPACE, dict(space))
    study.set_user_attr(_HOME, directory_token(job))
    study.set_user_attr(_PLACE, f"{job.study_dir} on {platform.node()}")
    _enqueue_default(job, study)
    # Set last: a study without it was never ready.
    study.set_user_attr(_DEFINITION, dict(definition))


def _settings(job: SearchJob) -> dict[str, Any]:
    return {
        name: value for name, value in flatten(job.config).items() if not name.startswith(_FREE)
    }


def _enqueue_default(job: SearchJob, study: optuna.Study) -> None:
    if not job.config.search.try_default:
        return
    params = job.space.encode(job.space.defaults())
    if params is not None:
        study.enqueue_trial(params, user_attrs={IS_DEFAULT: True})


def _refuse_another(
    job: SearchJob, study: optuna.Study, definition: Mapping[str, Any], space: Mapping[str, Any]
) -> None:
    stored = study.user_attrs
    differences = describe_difference(stored[_SPACE], dict(space))
    before = stored[_DEFINITION]
    for name in sorted({*before, *definition}):
        if before.get(name) != definition.get(name):
            differences.append(f"{name}: {before.get(name)!r}, now {definition.get(name)!r}")
    if differences:
        raise SearchError(
            f"the study {job.study_name} exists and was made for something else: "
            f"{'; '.join(differences)}. Give another --study, or what it was made for."
        )


def _refuse_foreign(job: SearchJob, study: optuna.Study) -> None:
    """Refuse a study of somebody else; one that a kill left half made has no trials yet."""
    if any(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False)):
        raise SearchError(
            f"the study {job.study_name} is in the storage already, and another program has made "
            "it. Give another --study."
        )
