"""Checkpoints that are committed, not just written, and that a run resumes from to the bit.

`checkpoints/epoch-00007/` holds the network's variables (weights, statistics and the
states of its dropout generators), the optimiser's variables and the state of the
callbacks. The file `LAST` names the newest directory; it is switched atomically when
that directory is complete and synced, so that a kill at any moment leaves a whole one.
The directories of the newest and of the best epoch are kept. `checkpoints/initial.npz` holds
the network's variables before the first epoch, until the run is done.
"""

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

from pipeline.core.errors import RunError
from pipeline.core.files import read_json, write_arrays, write_json, write_text
from pipeline.core.journal import CHECKPOINT, Journal

LAST = "LAST"
_INITIAL = "initial.npz"


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
    """Size of the journal when the checkpoint was taken."""
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
        journal: Journal of the run; gets a `checkpoint` event a commit.
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
        journal: Journal,
        resume_from: CheckpointState | None = None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._network = network
        self._monitor = monitor
        self._maximize = maximize
        self._stateful = {type(callback).__name__: callback for callback in stateful}
        self._journal = journal
        self._resume_from = resume_from
        self._on_commit = on_commit
        self.seconds = 0.0
        """Time that checkpoints have taken in this process."""
        self.best_epoch = resume_from.best_epoch if resume_from else 0
        self.best_value = resume_from.best_value if resume_from else float("nan")

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: D102
        del logs
        if self._resume_from is None:
            return
        source = self._directory / _name(self._resume_from.epoch)
        _read_variables(source / "network.npz", self._network.variables)
        _read_variables(source / "optimizer.npz", self.model.optimizer.variables)
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
            journal_offset=self._journal.size,
            callbacks={name: _counters(callback) for name, callback in self._stateful.items()},
        )
        self._commit(state)
        self._journal.append(CHECKPOINT, epoch=state.epoch)
        self._remove_all_but(state.epoch, state.best_epoch)
        self.seconds += time.perf_counter() - began
        self._on_commit()

    def restore(self, epoch: int) -> None:
        """Give the network the variables it had at the end of `epoch`, of those that are kept."""
        load_epoch(self._directory, epoch, self._network)

    def _commit(self, state: CheckpointState) -> None:
        target = self._directory / _name(state.epoch)
        target.mkdir(parents=True, exist_ok=True)
        _write_variables(target / "network.npz", self._network.variables)
        _write_variables(target / "optimizer.npz", self.model.optimizer.variables)
        write_json(
            target / "state.json",
            {name: getattr(state, name) for name in CheckpointState.__slots__},
        )
        write_text(self._directory / LAST, target.name + "\n")

    def _remove_all_but(self, *epochs: int) -> None:
        kept = {_name(epoch) for epoch in epochs}
        for old in self._directory.glob("epoch-*"):
            if old.name not in kept:
                shutil.rmtree(old)


def read_last_state(directory: Path) -> CheckpointState | None:
    """Return the state of the newest checkpoint; None where there is none yet.

    Raises:
        RunError: If `LAST` names a checkpoint that is not there or is damaged.
    """
    pointer = directory / LAST
    if not pointer.exists():
        return None
    path = directory / pointer.read_text(encoding="utf-8").strip() / "state.json"
    try:
        return CheckpointState(**read_json(path))
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{path}: the checkpoint that {pointer} names cannot be read ({error}). "
            "Restore it from a backup, or start the run again in another directory."
        ) from error


def load_epoch(directory: Path, epoch: int, network: keras.Model) -> None:
    """Give `network` the variables it had at the end of `epoch`."""
    _read_variables(directory / _name(epoch) / "network.npz", network.variables)


def save_initial(directory: Path, network: keras.Model) -> None:
    """Save the variables that `network` starts from, whoever drew, loaded or trained them."""
    directory.mkdir(parents=True, exist_ok=True)
    _write_variables(directory / _INITIAL, network.variables)


def load_initial(directory: Path, network: keras.Model) -> None:
    """Give `network` the variables that its run started from.

    Raises:
        RunError: If they are not there, or are those of another model.
    """
    _read_variables(directory / _INITIAL, network.variables)


def remove_initial(directory: Path) -> None:
    """Remove what only a run that is not done needs: of a large encoder it is another copy."""
    (directory / _INITIAL).unlink(missing_ok=True)


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
        with np.load(path, allow_pickle=False) as arrays:
            stored = {key: arrays[key] for key in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(
            f"{path}: the checkpoint cannot be read ({error}). "
            "Restore it from a backup, or start the run again in another directory."
        ) from error
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
