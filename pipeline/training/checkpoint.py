"""Write and read checkpoints. A run that is resumed from a checkpoint has bit-identical results.

`checkpoints/epoch-00007/` contains the variables of the network (including dropout state), the
variables of the optimizer, and the state of the callbacks. The file `LAST` contains the name of the
newest directory. `LAST` is replaced atomically after this directory is complete. Therefore the last
complete checkpoint is intact even if the process is killed.

For each of the last two epochs, two checkpoints are kept: the checkpoint of this epoch, and the
checkpoint of the best epoch until then. If the newest checkpoint is damaged, the run is resumed
from the previous epoch. `state.json` contains the hashes of the other files in its directory.
`checkpoints/initial.npz` contains the variables before the first epoch. This file is deleted when
the run is finished.
"""

import logging
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.core.errors import PipelineError, RunError, one_line
from pipeline.core.files import (
    file_hash,
    read_arrays,
    read_sealed_json,
    write_arrays,
    write_sealed_json,
    write_text,
)
from pipeline.core.run_directory import RunDirectory
from pipeline.training.best_epoch import BestEpoch
from pipeline.training.optimizer import join_moments

_logger = logging.getLogger(__name__)

_LAST = "LAST"
_NETWORK = "network.npz"
_OPTIMIZER = "optimizer.npz"
_STATE = "state.json"
_FIX = "Restore it from a backup, or start a new run."


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointState:
    """State of a run at a checkpoint, without the variables."""

    epoch: int
    """Number of complete epochs."""
    best_epoch: int
    best_value: float
    stopped: bool
    """Whether a callback has stopped training."""
    journal_offset: int
    """Size of the run log before the event of this checkpoint, in bytes."""
    callbacks: dict[str, dict[str, Any]]
    """Callback class name -> counter name -> value."""


_CALLBACK_ATTRIBUTES = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter")


class EpochCheckpoint(BestEpoch):
    """Save a checkpoint after every epoch.

    If `resume_from` is given, the checkpoint of this state is restored at the start of training.
    The counters of the callbacks in `stateful` are saved after each update, and restored after
    Keras resets the counters. Therefore `EpochCheckpoint` must be the last callback.
    """

    def __init__(
        self,
        checkpoints_dir: Path,
        *,
        stateful: Sequence[keras.callbacks.Callback],
        resume_from: CheckpointState | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self._checkpoints_dir = checkpoints_dir
        self._stateful = {type(callback).__name__: callback for callback in stateful}
        self._resume_from = self._last_state = resume_from
        if resume_from:
            self.best_epoch, self.best_value = resume_from.best_epoch, resume_from.best_value

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: D102
        if self._resume_from is None:
            return
        source = self._checkpoints_dir / _name(self._resume_from.epoch)
        _read_variables(source / _NETWORK, self._network.variables)
        _read_variables(source / _OPTIMIZER, self.model.optimizer.variables, join_moments)
        for name, attributes in self._resume_from.callbacks.items():
            for attribute, value in attributes.items():
                setattr(self._stateful[name], attribute, value)

    def restore(self, epoch: int) -> None:
        """Restore the variables that the network had at the end of a saved epoch."""
        load_epoch(self._checkpoints_dir, epoch, self._network)

    def _save(self, epoch: int) -> None:
        state = CheckpointState(
            epoch=epoch,
            best_epoch=self.best_epoch,
            best_value=self.best_value,
            stopped=bool(self.model.stop_training),
            journal_offset=self._run_log.size,
            callbacks={name: _counters(callback) for name, callback in self._stateful.items()},
        )
        self._commit(state)
        self._run_log.log_checkpoint(state.epoch)
        before = self._last_state or state
        kept = (state.epoch, state.best_epoch, before.epoch, before.best_epoch)
        for old in self._checkpoints_dir.glob("epoch-*"):
            if old.name not in map(_name, kept):
                shutil.rmtree(old)
        self._last_state = state

    def _commit(self, state: CheckpointState) -> None:
        target = self._checkpoints_dir / _name(state.epoch)
        if target.exists():  # damaged or incomplete
            shutil.rmtree(target)
        target.mkdir(parents=True)
        _write_variables(target / _NETWORK, self._network.variables)
        _write_variables(target / _OPTIMIZER, self.model.optimizer.variables)
        content = {name: getattr(state, name) for name in CheckpointState.__slots__}
        hashes = {name: file_hash(target / name) for name in (_NETWORK, _OPTIMIZER)}
        write_sealed_json(target / _STATE, {**content, "files": hashes})
        write_text(self._checkpoints_dir / _LAST, target.name + "\n")


def read_last_state(checkpoints_dir: Path) -> CheckpointState | None:
    """Return the state of the newest intact checkpoint; None if no checkpoint was ever complete.

    Each damaged checkpoint that is newer than this checkpoint causes a warning in the log.

    Raises:
        RunError: If the file `LAST` exists, but no checkpoint is intact.
    """
    last = _read_pointer(checkpoints_dir)
    found = sorted(path for path in checkpoints_dir.glob("epoch-*") if path.is_dir())
    pointer = checkpoints_dir / _LAST
    if last in found:
        # The directories after `last` are incomplete.
        found = found[: found.index(last) + 1]
    faults = []
    for path in reversed(found):
        try:
            state = _read_intact(path)
        except PipelineError as error:
            faults.append(one_line(error))
            continue
        if last not in found:
            _logger.warning(
                "%s: does not name a checkpoint. The newest checkpoint is used.", pointer
            )
        for fault in faults:
            _logger.warning(
                "%s The run resumes from the checkpoint of epoch %d and trains the later epochs "
                "again, with the same results.",
                *(fault, state.epoch),
            )
        return state
    if last is None:  # no checkpoint was ever complete
        return None
    reason = faults[0] if faults else f"{pointer}: names a checkpoint that does not exist."
    raise RunError(f"{reason} No checkpoint of the run is intact. {_FIX}")


def _read_pointer(checkpoints_dir: Path) -> Path | None:
    """Return the path of the directory whose name is in `LAST`; None if `LAST` does not exist.

    The directory can be missing. If `LAST` cannot be read, the path of `LAST` is returned.
    """
    pointer = checkpoints_dir / _LAST
    try:
        return checkpoints_dir / pointer.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError:
        return pointer


def _read_intact(path: Path) -> CheckpointState:
    """Check a checkpoint and the network file of the best epoch. Return the state."""
    state = _check_checkpoint(path, _NETWORK, _OPTIMIZER)
    if path.name != _name(state.epoch):
        raise RunError(f"{path / _STATE}: belongs to epoch {state.epoch}.")
    best = path.with_name(_name(state.best_epoch))
    if best != path:
        _check_checkpoint(best, _NETWORK)
    return state


def _check_checkpoint(path: Path, *names: str) -> CheckpointState:
    """Check the files `names` of a checkpoint, and return the state of the checkpoint.

    Raises:
        PipelineError: If a file is missing or damaged.
    """
    content = read_sealed_json(path / _STATE)
    hashes = content.pop("files", {})
    for name in names:
        file = path / name
        try:
            if name in hashes:
                is_intact = file_hash(file) == hashes[name]
            else:  # early versions stored no hashes, but zip files contain checksums
                with zipfile.ZipFile(file) as archive:
                    is_intact = archive.testzip() is None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(f"{file}: the checkpoint cannot be read ({error}).") from error
        if not is_intact:
            raise RunError(f"{file}: the checkpoint is damaged.")
    try:
        return CheckpointState(**content)
    except TypeError as error:
        raise RunError(f"{path / _STATE}: the checkpoint cannot be read ({error}).") from error


def load_epoch(checkpoints_dir: Path, epoch: int, network: keras.Model) -> None:
    """Load the variables that a network had at the end of `epoch`."""
    _read_variables(checkpoints_dir / _name(epoch) / _NETWORK, network.variables)


def save_initial(run: RunDirectory, network: keras.Model) -> None:
    """Save the variables of a network before the first epoch."""
    run.checkpoints_dir.mkdir(parents=True, exist_ok=True)
    _write_variables(run.initial_path, network.variables)


def load_initial(run: RunDirectory, network: keras.Model) -> None:
    """Load the variables that a network had before the first epoch.

    Raises:
        RunError: If the file is missing or belongs to another model.
    """
    _read_variables(run.initial_path, network.variables)


def remove_initial(run: RunDirectory) -> None:
    """Remove the file of the initial variables, which can be large."""
    run.initial_path.unlink(missing_ok=True)


def _name(epoch: int) -> str:
    return f"epoch-{epoch:05d}"


def _counters(callback: keras.callbacks.Callback) -> dict[str, Any]:
    return {
        name: float(value) if isinstance(value := getattr(callback, name), np.floating) else value
        for name in _CALLBACK_ATTRIBUTES
        if hasattr(callback, name)
    }


def _keys(variables: Sequence[Any]) -> list[str]:
    # Two variables can have the same path, so the position is part of the key. The numbers of seed
    # generators depend on earlier models in the process, so these numbers are removed.
    paths = [re.sub(r"seed_generator_\d+", "seed_generator", each.path) for each in variables]
    return [f"{number:04d}:{path}" for number, path in enumerate(paths)]


def _write_variables(path: Path, variables: Sequence[Any]) -> None:
    arrays = [variable.numpy() for variable in variables]
    write_arrays(path, dict(zip(_keys(variables), arrays, strict=True)))


def _read_variables(
    path: Path,
    variables: Sequence[Any],
    convert: Callable[[dict[str, Any]], dict[str, Any]] = lambda arrays: arrays,
) -> None:
    try:
        stored = convert(read_arrays(path))
    except PipelineError as error:
        raise RunError(f"{error} {_FIX}") from error
    keys = _keys(variables)
    shapes = [tuple(variable.shape) for variable in variables]
    fits = len(stored) == len(keys) and all(
        array.shape == shape and _may_be_equal(name, key)
        for (name, array), key, shape in zip(stored.items(), keys, shapes, strict=True)
    )
    if not fits:
        raise RunError(
            f"{path}: the variables of the checkpoint do not match the model. "
            "Resume with the same code and configuration as at the start of the run."
        )
    for array, variable in zip(stored.values(), variables, strict=True):
        variable.assign(array)


def _may_be_equal(first: str, second: str) -> bool:
    """Return True if two keys can belong to the same variable.

    If a model is rebuilt from its description, names of enclosing models can be missing in variable
    paths. In the network, these names are missing at the beginning of a path. In the optimizer,
    these names are missing at the beginning of the last part of a path.
    """
    (number, _, first), (other_number, _, second) = first.partition(":"), second.partition(":")
    shorter, longer = sorted((first.split("/"), second.split("/")), key=len)
    *parents, name = longer[-len(shorter) :]
    is_end = name.endswith(shorter[-1]) or shorter[-1].endswith(name)
    return number == other_number and parents == shorter[:-1] and is_end
