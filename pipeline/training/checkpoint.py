"""Checkpoints that are committed, not just written, and that a run resumes from to the bit.

`checkpoints/epoch-00007/` holds the network's variables (weights, statistics and the
states of its dropout generators), the optimiser's variables and the state of the
callbacks. The file `LAST` names the newest directory; it is switched atomically when
that directory is complete and synced, so that a kill at any moment leaves a whole one.
The directories of the newest epoch, of the one before and of the best epoch are kept:
where the newest is damaged, a run resumes from the one before. `state.json` holds the
digests of the files beside it. `checkpoints/initial.npz` holds the network's variables
before the first epoch, until the run is done.
"""

import logging
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
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
from pipeline.core.run_log import RunLog

_logger = logging.getLogger(__name__)

LAST = "LAST"
_INITIAL = "initial.npz"
_NETWORK = "network.npz"
_OPTIMIZER = "optimizer.npz"
_STATE = "state.json"
_CURE = "Restore it from a backup, or start a new run."


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointState:
    """What a checkpoint knows besides arrays."""

    epoch: int
    """Epochs that are complete."""
    best_epoch: int
    best_value: float
    stopped: bool
    """Whether training has come to its end, early or not."""
    journal_offset: int
    """Size of the run log when the checkpoint was taken."""
    callbacks: dict[str, dict[str, Any]]
    """Counters of the callbacks by class name."""


_CALLBACK_ATTRIBUTES = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter")


class EpochCheckpoint(keras.callbacks.Callback):
    """Commits a checkpoint after every epoch, and restores one when training begins.

    It must be the last callback: it saves what the others have become, and Keras'
    own callbacks reset themselves when training begins.

    Args:
        directory: Where checkpoints are kept.
        network: The model whose variables are saved.
        monitor: Name of the value in the logs that decides the best epoch.
        maximize: Whether larger values of it are better.
        stateful: Callbacks whose counters belong to the state.
        run_log: Run log of the run; gets a `checkpoint` event a commit.
        resume_from: State of the checkpoint to restore; None starts anew.
        on_commit: Called after each commit.
    """

    def __init__(
        self,
        directory: Path,
        *,
        network: keras.Model,
        monitor: str,
        maximize: bool,
        stateful: Sequence[keras.callbacks.Callback],
        run_log: RunLog,
        resume_from: CheckpointState | None = None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._network = network
        self._monitor = monitor
        self._maximize = maximize
        self._stateful = {type(callback).__name__: callback for callback in stateful}
        self._run_log = run_log
        self._resume_from = resume_from
        self._on_commit = on_commit
        self.seconds = 0.0
        """Time that checkpoints have taken in this process."""
        self.best_epoch = resume_from.best_epoch if resume_from else 0
        self._committed = resume_from
        self.best_value = resume_from.best_value if resume_from else float("nan")

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: D102
        del logs
        if self._resume_from is None:
            return
        source = self._directory / _name(self._resume_from.epoch)
        _read_variables(source / _NETWORK, self._network.variables)
        _read_variables(source / _OPTIMIZER, self.model.optimizer.variables)
        for name, attributes in self._resume_from.callbacks.items():
            for attribute, value in attributes.items():
                setattr(self._stateful[name], attribute, value)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: D102
        began = time.perf_counter()
        value = float((logs or {})[self._monitor])
        if self.best_epoch == 0 or (
            value > self.best_value if self._maximize else value < self.best_value
        ):
            self.best_epoch, self.best_value = epoch + 1, value
        state = CheckpointState(
            epoch=epoch + 1,
            best_epoch=self.best_epoch,
            best_value=self.best_value,
            stopped=bool(self.model.stop_training),
            journal_offset=self._run_log.size,
            callbacks={name: _counters(callback) for name, callback in self._stateful.items()},
        )
        self._commit(state)
        self._run_log.log_checkpoint(state.epoch)
        before = self._committed or state
        self._remove_all_but(state.epoch, state.best_epoch, before.epoch, before.best_epoch)
        self._committed = state
        self.seconds += time.perf_counter() - began
        self._on_commit()

    def restore(self, epoch: int) -> None:
        """Give the network the variables it had at the end of `epoch`, of those that are kept."""
        load_epoch(self._directory, epoch, self._network)

    def _commit(self, state: CheckpointState) -> None:
        target = self._directory / _name(state.epoch)
        if target.exists():  # damaged, or of a commit that was interrupted
            shutil.rmtree(target)
        target.mkdir(parents=True)
        _write_variables(target / _NETWORK, self._network.variables)
        _write_variables(target / _OPTIMIZER, self.model.optimizer.variables)
        content = {name: getattr(state, name) for name in CheckpointState.__slots__}
        digests = {name: file_hash(target / name) for name in (_NETWORK, _OPTIMIZER)}
        write_sealed_json(target / _STATE, {**content, "files": digests})
        write_text(self._directory / LAST, target.name + "\n")

    def _remove_all_but(self, *epochs: int) -> None:
        kept = {_name(epoch) for epoch in epochs}
        for old in self._directory.glob("epoch-*"):
            if old.name not in kept:
                shutil.rmtree(old)


def read_last_state(directory: Path) -> CheckpointState | None:
    """Return the state of the newest intact checkpoint; None if none was ever committed.

    A warning names each newer one that is damaged.

    Raises:
        RunError: If `LAST` says that there was a checkpoint, and none is intact.
    """
    named = _read_pointer(directory)
    found = sorted(path for path in directory.glob("epoch-*") if path.is_dir())
    pointer = directory / LAST
    if named in found:
        # A later directory is of a commit that was interrupted.
        found = found[: found.index(named) + 1]
    faults = []
    for path in reversed(found):
        try:
            state = _read_intact(path)
        except PipelineError as error:
            faults.append(one_line(error))
            continue
        if named not in found:
            _logger.warning("%s: does not name a checkpoint; the newest one is used.", pointer)
        for fault in faults:
            _logger.warning(
                "%s The run resumes from the checkpoint of epoch %d and trains the later epochs "
                "again, with the same result.",
                *(fault, state.epoch),
            )
        return state
    if named is None:  # the first commit was interrupted, if there was one
        return None
    reason = faults[0] if faults else f"{pointer}: names a checkpoint that does not exist."
    raise RunError(f"{reason} No checkpoint of the run is intact. {_CURE}")


def _read_pointer(directory: Path) -> Path | None:
    """Return the directory that `LAST` names, which need not exist; None without `LAST`."""
    pointer = directory / LAST
    try:
        return directory / pointer.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError:
        return pointer


def _read_intact(path: Path) -> CheckpointState:
    """Return the state of a checkpoint once its files, and those of its best epoch, are checked."""
    state = _check_checkpoint(path, _NETWORK, _OPTIMIZER)
    if path.name != _name(state.epoch):
        raise RunError(f"{path / _STATE}: is of epoch {state.epoch}.")
    best = path.with_name(_name(state.best_epoch))
    if best != path:
        _check_checkpoint(best, _NETWORK)
    return state


def _check_checkpoint(path: Path, *names: str) -> CheckpointState:
    """Return the state of a checkpoint if its files `names` fit their digests.

    Raises:
        PipelineError: If a file is missing or damaged.
    """
    content = read_sealed_json(path / _STATE)
    digests = content.pop("files", {})
    for name in names:
        file = path / name
        try:
            if name in digests:
                is_intact = file_hash(file) == digests[name]
            else:  # of an older version; a zip file has checksums of its own
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


def load_epoch(directory: Path, epoch: int, network: keras.Model) -> None:
    """Give `network` the variables it had at the end of `epoch`."""
    _read_variables(directory / _name(epoch) / _NETWORK, network.variables)


def initial_path(directory: Path) -> Path:
    """Return the file that holds the variables that a run starts from."""
    return directory / _INITIAL


def save_initial(directory: Path, network: keras.Model) -> None:
    """Save the variables that `network` starts from, whoever drew, loaded or trained them."""
    directory.mkdir(parents=True, exist_ok=True)
    _write_variables(initial_path(directory), network.variables)


def load_initial(directory: Path, network: keras.Model) -> None:
    """Give `network` the variables that its run started from.

    Raises:
        RunError: If they are not there, or are those of another model.
    """
    _read_variables(initial_path(directory), network.variables)


def remove_initial(directory: Path) -> None:
    """Remove what only a run that is not done needs: of a large encoder it is another copy."""
    initial_path(directory).unlink(missing_ok=True)


def _name(epoch: int) -> str:
    return f"epoch-{epoch:05d}"


def _counters(callback: keras.callbacks.Callback) -> dict[str, Any]:
    return {
        name: float(value) if isinstance(value := getattr(callback, name), np.floating) else value
        for name in _CALLBACK_ATTRIBUTES
        if hasattr(callback, name)
    }


def _keys(variables: Sequence[Any]) -> list[str]:
    # Paths say what is what; the number keeps two variables of one path apart. Keras counts
    # the generators of a process, so their names tell how many models were built before.
    paths = [re.sub(r"seed_generator_\d+", "seed_generator", each.path) for each in variables]
    return [f"{number:04d}:{path}" for number, path in enumerate(paths)]


def _write_variables(path: Path, variables: Sequence[Any]) -> None:
    arrays = [variable.numpy() for variable in variables]
    write_arrays(path, dict(zip(_keys(variables), arrays, strict=True)))


def _read_variables(path: Path, variables: Sequence[Any]) -> None:
    try:
        stored = read_arrays(path)
    except PipelineError as error:
        raise RunError(f"{error} {_CURE}") from error
    keys = _keys(variables)
    shapes = [tuple(variable.shape) for variable in variables]
    fits = len(stored) == len(keys) and all(
        array.shape == shape and _may_be_one(name, key)
        for (name, array), key, shape in zip(stored.items(), keys, shapes, strict=True)
    )
    if not fits:
        raise RunError(
            f"{path}: the checkpoint holds other variables than the model has. "
            "Resume with the code and the configuration that the run was started with."
        )
    for array, variable in zip(stored.values(), variables, strict=True):
        variable.assign(array)


def _may_be_one(first: str, second: str) -> bool:
    """Return whether two keys may be of one variable.

    A model that is built anew from its description can lose the names of models that hold its
    layers, at the beginning of a path of its own and, of the optimizer, of its last part.
    """
    (number, _, first), (other_number, _, second) = first.partition(":"), second.partition(":")
    shorter, longer = sorted((first.split("/"), second.split("/")), key=len)
    *holders, name = longer[-len(shorter) :]
    is_end = name.endswith(shorter[-1]) or shorter[-1].endswith(name)
    return number == other_number and holders == shorter[:-1] and is_end
