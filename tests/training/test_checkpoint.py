import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from pipeline.config.schema import TrainingConfig
from pipeline.core.errors import RunError
from pipeline.core.run_directory import RunDirectory
from pipeline.core.run_log import CHECKPOINT, RunLog, read_events
from pipeline.training.checkpoint import (
    EpochCheckpoint,
    load_epoch,
    load_initial,
    read_last_state,
    remove_initial,
    save_initial,
)
from pipeline.training.optimizer import build_optimizer


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "flipped": flip_bit,
    "removed": lambda path: path.unlink(),
    "a directory": lambda path: (path.unlink(), path.mkdir()),
}

WRITES = ["network.npz", "optimizer.npz", "state.json", "LAST"]


class Trainer:
    """A run without training: each epoch adds 1 to every variable."""

    def __init__(self, directory: Path, network: keras.Model, **settings) -> None:
        self.directory = directory
        self.network = network
        self.optimizer = build_optimizer(TrainingConfig(), steps_per_epoch=1)
        self.optimizer.build(network.trainable_variables)
        self.run_log = RunLog(directory.parent / "events.jsonl")
        self.num_commits = 0
        self.model = SimpleNamespace(optimizer=self.optimizer, stop_training=False)
        self.checkpoint = EpochCheckpoint(
            directory,
            network=network,
            **{
                "monitor": "val_mae",
                "maximize": False,
                "stateful": [],
                "run_log": self.run_log,
                "on_commit": self._count,
                **settings,
            },
        )
        self.checkpoint.set_model(self.model)

    def run(self, *values: float, first_epoch: int = 0) -> None:
        self.checkpoint.on_train_begin()
        for epoch, value in enumerate(values, start=first_epoch):
            for variable in (*self.network.variables, *self.optimizer.variables):
                variable.assign(variable + 1)
            self.checkpoint.on_epoch_end(epoch, {"val_mae": value})

    @property
    def kept(self) -> list[str]:
        return sorted(path.name for path in self.directory.glob("epoch-*"))

    def _count(self) -> None:
        self.num_commits += 1


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def trainer(directory, laboratory):
    return Trainer(directory, laboratory.network())


def values_of(variables) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in variables]


def other_network(dropout_rate=0.25, width=8, name="other"):
    static, dynamic = keras.Input((4, 6)), keras.Input((5,))
    pooled = keras.layers.GlobalAveragePooling1D()(static)
    hidden = keras.layers.Dense(width, name=name)(keras.layers.Concatenate()([pooled, dynamic]))
    hidden = keras.layers.Dropout(dropout_rate)(hidden)
    return keras.Model([static, dynamic], keras.layers.Dense(5, name="scores")(hidden))


class TestCommit:
    def test_the_state_is_read(self, trainer, directory):
        trainer.run(0.3, 0.2, 0.4)
        state = read_last_state(directory)
        assert (state.epoch, state.best_epoch, state.best_value) == (3, 2, 0.2)
        assert state.stopped is False
        assert trainer.num_commits == 3

    def test_the_event_comes_after_the_saved_size_of_the_run_log(self, trainer, directory):
        trainer.run_log.log_epoch({})
        size = trainer.run_log.size
        trainer.run(0.3)
        assert read_last_state(directory).journal_offset == size
        (event,) = read_events(trainer.run_log.path, start=size)
        assert (event.kind, event.content) == (CHECKPOINT, {"epoch": 1})

    @pytest.mark.parametrize(
        ("values", "kept"),
        [
            ([0.3], [1]),
            ([0.3, 0.2, 0.1], [2, 3]),
            ([0.1, 0.2, 0.3], [1, 2, 3]),
            ([0.2, 0.3, 0.1], [1, 2, 3]),
            ([0.3, 0.1, 0.2, 0.2], [2, 3, 4]),
        ],
    )
    def test_the_last_two_epochs_and_their_best_are_kept(self, trainer, values, kept):
        trainer.run(*values)
        assert trainer.kept == [f"epoch-{epoch:05d}" for epoch in kept]

    @pytest.mark.parametrize(
        ("values", "maximize", "best"),
        [([0.2, 0.2], False, (1, 0.2)), ([-0.5, 0.4, 0.3], True, (2, 0.4))],
    )
    def test_the_best_epoch_is_the_first_with_the_best_value(
        self, directory, laboratory, values, maximize, best
    ):
        trainer = Trainer(directory, laboratory.network(), maximize=maximize)
        trainer.run(*values)
        assert (trainer.checkpoint.best_epoch, trainer.checkpoint.best_value) == best


class TestKill:
    @pytest.mark.parametrize("write", range(len(WRITES)), ids=WRITES)
    def test_a_kill_before_any_write_leaves_the_previous_checkpoint(
        self, trainer, directory, laboratory, monkeypatch, write
    ):
        trainer.run(0.3, 0.2)
        before = values_of(trainer.network.variables)
        replace, renamed = Path.replace, []

        def fail_at(source, target):
            if len(renamed) == write:
                raise KeyboardInterrupt
            renamed.append(target.name)
            replace(source, target)

        monkeypatch.setattr(Path, "replace", fail_at)
        with pytest.raises(KeyboardInterrupt):
            trainer.run(0.1, first_epoch=2)
        monkeypatch.undo()
        assert renamed == WRITES[:write]

        state = read_last_state(directory)
        assert (state.epoch, state.best_epoch) == (2, 2)
        network = laboratory.network()
        load_epoch(directory, 2, network)
        assert values_of(network.variables) == before

        again = Trainer(directory, network, resume_from=state)
        again.run(0.1, first_epoch=2)
        assert read_last_state(directory).epoch == 3
        assert again.kept == ["epoch-00002", "epoch-00003"]

    def test_a_kill_while_old_epochs_are_removed_leaves_the_new_checkpoint(
        self, trainer, directory, monkeypatch
    ):
        trainer.run(0.4, 0.3)

        def fail(_):
            raise KeyboardInterrupt

        monkeypatch.setattr(shutil, "rmtree", fail)
        with pytest.raises(KeyboardInterrupt):
            trainer.run(0.2, first_epoch=2)
        assert read_last_state(directory).epoch == 3
        assert [event.content["epoch"] for event in read_events(trainer.run_log.path)] == [1, 2, 3]


class TestResume:
    def test_all_variables_and_the_best_epoch_are_restored(self, trainer, directory, laboratory):
        trainer.run(0.1, 0.2)
        again = Trainer(directory, laboratory.network(), resume_from=read_last_state(directory))
        again.checkpoint.on_train_begin()
        assert values_of(again.network.variables) == values_of(trainer.network.variables)
        assert values_of(again.optimizer.variables) == values_of(trainer.optimizer.variables)
        again.run(0.3, first_epoch=2)
        assert again.checkpoint.best_epoch == 1
        assert again.kept == ["epoch-00001", "epoch-00002", "epoch-00003"]

    def test_variables_do_not_depend_on_models_built_before(self, trainer, directory, laboratory):
        trainer.run(0.3)
        for _ in range(3):
            network = laboratory.network()
        load_epoch(directory, 1, network)
        assert values_of(network.variables) == values_of(trainer.network.variables)

    def test_an_earlier_epoch_can_be_loaded(self, trainer, directory, laboratory):
        network = laboratory.network()
        trainer.run(0.1)
        best = values_of(trainer.network.variables)
        trainer.run(0.2, first_epoch=1)
        load_epoch(directory, 1, network)
        assert values_of(network.variables) == best != values_of(trainer.network.variables)

    def test_counters_are_restored_after_the_callbacks_reset_themselves(
        self, directory, laboratory
    ):
        def callbacks():
            return [
                keras.callbacks.EarlyStopping(monitor="val_mae", mode="min", patience=9),
                keras.callbacks.ReduceLROnPlateau(monitor="val_mae", mode="min", patience=9),
            ]

        def counters(each):
            names = ("best", "wait", "best_epoch", "stopped_epoch", "cooldown_counter")
            return [{n: getattr(c, n) for n in names if hasattr(c, n)} for c in each]

        first, second = callbacks(), callbacks()
        trainer = Trainer(directory, laboratory.network(), stateful=first)
        for callback in first:
            callback.set_model(trainer.model)
            callback.on_train_begin()
        for epoch, value in enumerate([0.3, 0.1, np.float32(0.2)]):
            for callback in first:
                callback.on_epoch_end(epoch, {"val_mae": value})
            trainer.run(value, first_epoch=epoch)

        state = read_last_state(directory)
        again = Trainer(directory, laboratory.network(), stateful=second, resume_from=state)
        for callback in second:
            callback.on_train_begin()
        again.checkpoint.on_train_begin()
        assert counters(second) == counters(first)
        assert counters(first)[0] == {"best": 0.1, "wait": 1, "best_epoch": 1, "stopped_epoch": 0}

    def test_initial_variables_can_be_loaded_until_they_are_removed(
        self, trainer, tmp_path, laboratory
    ):
        run = RunDirectory(tmp_path)
        for variable in trainer.network.variables:
            variable.assign(variable + 7)  # not the values of any seed
        before = values_of(trainer.network.variables)
        save_initial(run, trainer.network)
        trainer.run(0.3, 0.2)
        again = laboratory.network()
        load_initial(run, again)
        assert values_of(again.variables) == before
        remove_initial(run)
        with pytest.raises(RunError, match=r"initial\.npz: there is no such file\. Restore"):
            load_initial(run, again)
        assert trainer.kept == ["epoch-00001", "epoch-00002"]

    def test_a_model_that_is_built_from_its_description_is_resumed(self, directory):
        inner = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(3, name="first")], name="inner"
        )
        inputs = keras.Input((2, 4))
        steps = keras.layers.TimeDistributed(inner, name="steps")(inputs)
        trainer = Trainer(directory, keras.Model(inputs, steps))
        trainer.run(0.3)
        description = keras.saving.serialize_keras_object(trainer.network)
        network = keras.saving.deserialize_keras_object(description)
        paths = [[each.path for each in model.variables] for model in (trainer.network, network)]
        assert paths[0] != paths[1]  # otherwise this test checks nothing
        again = Trainer(directory, network, resume_from=read_last_state(directory))
        again.checkpoint.on_train_begin()
        assert values_of(network.variables) == values_of(trainer.network.variables)
        assert values_of(again.optimizer.variables) == values_of(trainer.optimizer.variables)


class TestDamage:
    @pytest.mark.parametrize(
        "changes", [{}, {"dropout_rate": 0.0, "name": "hidden"}, {"width": 9, "name": "hidden"}]
    )
    def test_variables_of_another_model_are_an_error(self, trainer, directory, changes):
        trainer.run(0.3)
        with pytest.raises(RunError, match=r"network\.npz: .* do not match the model\. Resume"):
            load_epoch(directory, 1, other_network(**changes))

    @pytest.mark.parametrize("size", [0, 100, -1])
    def test_a_torn_file_is_an_error(self, trainer, directory, laboratory, size):
        trainer.run(0.3)
        path = directory / "epoch-00001" / "network.npz"
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(RunError, match=r"network\.npz: .*backup"):
            load_epoch(directory, 1, laboratory.network())

    @pytest.mark.parametrize("pointer", [b"epoch-00009\n", b"", b"state", b"\xff\x00", None])
    def test_without_a_valid_pointer_the_newest_checkpoint_is_used_with_a_warning(
        self, trainer, directory, pointer, caplog
    ):
        trainer.run(0.3, 0.2)
        (directory / "LAST").unlink()
        if pointer is not None:
            (directory / "LAST").write_bytes(pointer)
        assert read_last_state(directory).epoch == 2
        assert "LAST: does not name a checkpoint" in caplog.text

    @pytest.mark.parametrize("name", WRITES[:3])
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_the_checkpoint_before_a_damaged_checkpoint_is_used_with_a_warning(
        self, trainer, directory, name, damage, caplog
    ):
        trainer.run(0.1, 0.3, 0.2)
        DAMAGES[damage](directory / "epoch-00003" / name)
        assert read_last_state(directory).epoch == 2
        assert name in caplog.text
        assert "resumes from the checkpoint of epoch 2" in caplog.text

    def test_a_flipped_bit_of_a_state_changes_nothing_or_is_an_error(self, trainer, directory):
        trainer.run(0.3)
        path = directory / "epoch-00001" / "state.json"
        content = path.read_bytes()
        state = read_last_state(directory)
        for bit in range(8 * len(content)):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            try:
                assert read_last_state(directory) == state
            except RunError:
                continue

    @pytest.mark.parametrize("content", ["{}", "[]", "{", '{"epoch": 1, "mood": "good"}'])
    def test_a_run_without_an_intact_checkpoint_is_an_error(self, trainer, directory, content):
        trainer.run(0.3)
        (directory / "epoch-00001" / "state.json").write_text(content)
        with pytest.raises(RunError, match=r"state\.json: .* No checkpoint .* intact\. Restore"):
            read_last_state(directory)

    def test_a_damaged_best_epoch_is_an_error(self, trainer, directory):
        trainer.run(0.1, 0.2, 0.3)
        flip_bit(directory / "epoch-00001" / "network.npz")
        with pytest.raises(RunError, match=r"epoch-00001/network\.npz: the checkpoint is damaged"):
            read_last_state(directory)

    def test_a_checkpoint_without_hashes_is_checked_by_its_zip_checksums(self, trainer, directory):
        trainer.run(0.3)
        path = directory / "epoch-00001" / "state.json"
        state = json.loads(path.read_text())
        del state["files"], state["sha256"]
        path.write_text(json.dumps(state))
        assert read_last_state(directory).epoch == 1
        flip_bit(directory / "epoch-00001" / "network.npz")
        with pytest.raises(RunError, match="network"):
            read_last_state(directory)
