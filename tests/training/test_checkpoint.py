"""A checkpoint is committed or it is not there; a run goes on from the last one."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from pipeline.config.schema import TrainingConfig
from pipeline.core.errors import RunError
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


def without_digests(path: Path) -> None:
    state = json.loads(path.read_text())
    del state["files"], state["sha256"]
    path.write_text(json.dumps(state))


WRITES = ["network.npz", "optimizer.npz", "state.json", "LAST"]


class Trainer:
    """A run without the training: each epoch adds 1 to every variable."""

    def __init__(self, directory: Path, network: keras.Model, **settings) -> None:
        self.directory = directory
        self.network = network
        self.optimizer = build_optimizer(TrainingConfig(), steps_per_epoch=1)
        self.optimizer.build(network.trainable_variables)
        self.run_log = RunLog(directory.parent / "events.jsonl")
        self.commits = 0
        self.model = SimpleNamespace(optimizer=self.optimizer, stop_training=False)
        self.checkpoint = EpochCheckpoint(
            directory,
            network=network,
            **{
                "monitor": "val_mae",
                "maximize": False,
                "stateful": [],
                "run log": self.run_log,
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
        self.commits += 1


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def trainer(directory, laboratory):
    return Trainer(directory, laboratory.network())


def bits(variables) -> list[bytes]:
    return [variable.numpy().tobytes() for variable in variables]


class TestCommit:
    def test_nothing_is_there_before_the_first(self, directory):
        assert read_last_state(directory) is None

    def test_the_state_comes_back(self, trainer, directory):
        trainer.run(0.3, 0.2, 0.4)
        state = read_last_state(directory)
        assert (state.epoch, state.best_epoch, state.best_value) == (3, 2, 0.2)
        assert state.stopped is False

    def test_the_run_log_is_told_behind_the_offset_that_is_kept(self, trainer, directory):
        trainer.run_log.log_epoch({})
        size = trainer.run_log.size
        trainer.run(0.3)
        assert read_last_state(directory).journal_offset == size
        (event,) = read_events(trainer.run_log.path, start=size)
        assert (event.kind, event.content) == (CHECKPOINT, {"epoch": 1})

    def test_the_caller_hears_of_each(self, trainer):
        trainer.run(0.3, 0.2)
        assert trainer.commits == 2

    @pytest.mark.parametrize(
        ("values", "kept"),
        [
            ([0.3], ["epoch-00001"]),
            ([0.3, 0.2, 0.1], ["epoch-00002", "epoch-00003"]),
            ([0.1, 0.2, 0.3], ["epoch-00001", "epoch-00002", "epoch-00003"]),
            ([0.2, 0.3, 0.1], ["epoch-00001", "epoch-00002", "epoch-00003"]),
            ([0.3, 0.1, 0.2, 0.2], ["epoch-00002", "epoch-00003", "epoch-00004"]),
        ],
    )
    def test_the_last_two_and_their_best_are_kept(self, trainer, values, kept):
        trainer.run(*values)
        assert trainer.kept == kept

    def test_of_equal_epochs_the_first_is_the_best(self, trainer):
        trainer.run(0.2, 0.2)
        assert trainer.checkpoint.best_epoch == 1

    def test_the_best_may_be_the_largest(self, directory, laboratory):
        trainer = Trainer(directory, laboratory.network(), maximize=True)
        trainer.run(-0.5, 0.4, 0.3)
        assert (trainer.checkpoint.best_epoch, trainer.checkpoint.best_value) == (2, 0.4)


class TestKill:
    @pytest.mark.parametrize("write", range(len(WRITES)), ids=WRITES)
    def test_between_any_two_writes_the_checkpoint_before_stays_whole(
        self, trainer, directory, laboratory, monkeypatch, write
    ):
        trainer.run(0.3, 0.2)
        before = bits(trainer.network.variables)
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
        assert bits(network.variables) == before

        again = Trainer(directory, network, resume_from=state)
        again.run(0.1, first_epoch=2)
        assert read_last_state(directory).epoch == 3
        assert again.kept == ["epoch-00002", "epoch-00003"]

    def test_while_the_old_ones_are_removed_the_new_one_is_there_and_told(
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
    def test_network_and_optimizer_come_back_to_the_bit(self, trainer, directory, laboratory):
        trainer.run(0.3, 0.2)
        again = Trainer(directory, laboratory.network(), resume_from=read_last_state(directory))
        again.checkpoint.on_train_begin()
        assert bits(again.network.variables) == bits(trainer.network.variables)
        assert bits(again.optimizer.variables) == bits(trainer.optimizer.variables)

    def test_the_variables_are_more_than_the_weights(self, trainer):
        # The state of the dropout generator decides which activations are dropped next.
        trainer.run(0.3)
        with np.load(trainer.directory / "epoch-00001" / "network.npz") as stored:
            assert sum("seed_generator_state" in name for name in stored.files) == 1
        with np.load(trainer.directory / "epoch-00001" / "optimizer.npz") as stored:
            assert any("iteration" in name for name in stored.files)

    def test_models_that_were_built_before_do_not_matter(self, trainer, directory, laboratory):
        trainer.run(0.3)
        for _ in range(3):
            network = laboratory.network()
        load_epoch(directory, 1, network)
        assert bits(network.variables) == bits(trainer.network.variables)

    def test_an_earlier_epoch_can_be_loaded(self, trainer, directory, laboratory):
        network = laboratory.network()
        trainer.run(0.1)
        best = bits(trainer.network.variables)
        trainer.run(0.2, first_epoch=1)
        load_epoch(directory, 1, network)
        assert bits(network.variables) == best != bits(trainer.network.variables)

    def test_the_best_epoch_is_remembered(self, trainer, directory, laboratory):
        trainer.run(0.1, 0.2)
        again = Trainer(directory, laboratory.network(), resume_from=read_last_state(directory))
        again.run(0.3, first_epoch=2)
        assert again.checkpoint.best_epoch == 1
        assert again.kept == ["epoch-00001", "epoch-00002", "epoch-00003"]

    def test_counters_of_callbacks_come_back_after_these_reset_themselves(
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

    def test_what_a_run_started_from_comes_back_until_it_is_removed(
        self, trainer, directory, laboratory
    ):
        for variable in trainer.network.variables:
            variable.assign(variable + 7)  # no seed draws these
        before = bits(trainer.network.variables)
        save_initial(directory, trainer.network)
        trainer.run(0.3, 0.2)
        again = laboratory.network()
        load_initial(directory, again)
        assert bits(again.variables) == before
        remove_initial(directory)
        with pytest.raises(RunError, match=r"initial\.npz: there is no such file\. Restore"):
            load_initial(directory, again)
        assert trainer.kept == ["epoch-00001", "epoch-00002"]

    def test_a_model_that_is_built_from_its_description_goes_on(self, directory):
        inner = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(3, name="first")], name="inner"
        )
        inputs = keras.Input((2, 4))
        steps = keras.layers.TimeDistributed(inner, name="steps")(inputs)
        trainer = Trainer(directory, keras.Model(inputs, steps))
        trainer.run(0.3)
        described = keras.saving.serialize_keras_object(trainer.network)
        network = keras.saving.deserialize_keras_object(described)
        paths = [[each.path for each in model.variables] for model in (trainer.network, network)]
        assert paths[0] != paths[1]  # or this shows nothing
        again = Trainer(directory, network, resume_from=read_last_state(directory))
        again.checkpoint.on_train_begin()
        assert bits(network.variables) == bits(trainer.network.variables)
        assert bits(again.optimizer.variables) == bits(trainer.optimizer.variables)


class TestDamage:
    def test_variables_of_other_layers_are_refused(self, trainer, directory):
        trainer.run(0.3)
        static, dynamic = keras.Input((4, 6)), keras.Input((5,))
        pooled = keras.layers.GlobalAveragePooling1D()(static)
        hidden = keras.layers.Concatenate()([pooled, dynamic])
        hidden = keras.layers.Dropout(0.25)(keras.layers.Dense(8, name="other")(hidden))
        scores = keras.layers.Dense(5, name="scores")(hidden)
        with pytest.raises(RunError, match="holds other variables than the model has"):
            load_epoch(directory, 1, keras.Model([static, dynamic], scores))

    def test_other_variables_are_refused(self, trainer, directory, laboratory):
        trainer.run(0.3)
        with pytest.raises(RunError, match="holds other variables than the model has"):
            load_epoch(directory, 1, laboratory.network(dropout_rate=0.0))

    def test_other_shapes_are_refused(self, trainer, directory):
        trainer.run(0.3)
        wider = keras.Sequential(
            [keras.Input((11,)), keras.layers.Dense(9, name="hidden")], name="small"
        )
        with pytest.raises(RunError, match=r"Resume with the code and the configuration"):
            load_epoch(directory, 1, wider)

    @pytest.mark.parametrize("size", [0, 100, -1])
    def test_a_torn_file_is_refused_with_the_cure(self, trainer, directory, laboratory, size):
        trainer.run(0.3)
        path = directory / "epoch-00001" / "network.npz"
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(RunError, match=r"network\.npz: cannot be read as arrays .*backup"):
            load_epoch(directory, 1, laboratory.network())

    @pytest.mark.parametrize("pointer", [b"epoch-00009\n", b"", b"state", b"\xff\x00", None])
    def test_without_a_usable_pointer_the_newest_checkpoint_is_used_with_a_warning(
        self, trainer, directory, pointer, caplog
    ):
        trainer.run(0.3, 0.2)
        (directory / "LAST").unlink()
        if pointer is not None:
            (directory / "LAST").write_bytes(pointer)
        assert read_last_state(directory).epoch == 2
        assert "LAST: does not name a checkpoint; the newest one is used" in caplog.text

    @pytest.mark.parametrize("name", WRITES[:3])
    @pytest.mark.parametrize("damage", DAMAGES)
    def test_of_a_damaged_newest_checkpoint_the_one_before_is_used_with_a_warning(
        self, trainer, directory, name, damage, caplog
    ):
        trainer.run(0.1, 0.3, 0.2)
        DAMAGES[damage](directory / "epoch-00003" / name)
        assert read_last_state(directory).epoch == 2
        assert name in caplog.text
        assert "resumes from the checkpoint of epoch 2" in caplog.text

    def test_no_bit_of_a_state_can_be_flipped_unnoticed(self, trainer, directory):
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
    def test_where_no_checkpoint_is_intact_the_run_is_refused_with_the_cure(
        self, trainer, directory, content
    ):
        trainer.run(0.3)
        (directory / "epoch-00001" / "state.json").write_text(content)
        with pytest.raises(RunError, match=r"state\.json: .* No checkpoint .* intact\. Restore"):
            read_last_state(directory)

    def test_a_checkpoint_whose_best_epoch_is_damaged_is_refused_before_training(
        self, trainer, directory
    ):
        trainer.run(0.1, 0.2, 0.3)
        DAMAGES["flipped"](directory / "epoch-00001" / "network.npz")
        with pytest.raises(RunError, match=r"epoch-00001/network\.npz: the checkpoint is damaged"):
            read_last_state(directory)

    def test_a_checkpoint_of_an_older_version_is_used_without_digests(self, trainer, directory):
        trainer.run(0.3)
        without_digests(directory / "epoch-00001" / "state.json")
        assert read_last_state(directory).epoch == 1
        DAMAGES["flipped"](directory / "epoch-00001" / "network.npz")
        with pytest.raises(RunError, match="network"):
            read_last_state(directory)
