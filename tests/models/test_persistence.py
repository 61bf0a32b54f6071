import importlib.util
import logging
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.core.seeds import generator
from pipeline.models import FUSIONS, load_model, save_model

pytestmark = pytest.mark.slow

WHOLE = [".keras", ".h5"]

LOAD_IN_A_NEW_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from pipeline.models import CompletePersonalityModel, load_model

for directory in sorted(Path(sys.argv[1]).iterdir()):
    with np.load(directory / "clips.npz", allow_pickle=False) as clips:
        inputs = {name: clips[name] for name in clips if name != "expected"}
        expected = clips["expected"]
    models = [load_model(directory / name) for name in ("model.keras", "model.h5")]
    models.append(CompletePersonalityModel.from_config(models[0].get_config()))
    models[-1].load_weights(directory / "model.weights.h5")
    for model in models:
        np.testing.assert_array_equal(model(inputs), expected)
"""

SCORE_ON_ANOTHER_BACKEND = """
import sys
from pathlib import Path
import keras
import numpy as np
from pipeline.models import load_model

for directory in sorted(Path(sys.argv[1]).iterdir()):
    with np.load(directory / "clips.npz", allow_pickle=False) as clips:
        inputs = {name: clips[name] for name in clips if name != "expected"}
        expected = clips["expected"]
    scores = keras.ops.convert_to_numpy(load_model(directory / "model.keras")(inputs))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
assert keras.backend.backend() != "tensorflow"
"""


def used(case, **changes):
    """A model none of whose weights is what a new model has."""
    model = case.build(**changes)
    rng = generator(0, "weights")
    model.set_weights([rng.normal(0.5, 0.2, w.shape) for w in model.get_weights()])
    return model


def test_every_fusion_predicts_the_same_bits_in_a_new_process(mixed, tmp_path, repository):
    for fusion in FUSIONS:
        model = used(mixed, fusion=fusion)
        for suffix in (".keras", ".h5", ".weights.h5"):
            save_model(model, tmp_path / fusion / f"model{suffix}")
        expected = np.asarray(model(mixed.values))
        np.savez(tmp_path / fusion / "clips.npz", expected=expected, **mixed.inputs)
    subprocess.run(
        [sys.executable, "-c", LOAD_IN_A_NEW_PROCESS, str(tmp_path)], cwd=repository, check=True
    )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_fusion_scores_the_same_on_another_backend(backend, mixed, tmp_path, repository):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; nothing here needs it")
    for fusion in FUSIONS:
        model = used(mixed, fusion=fusion)
        save_model(model, tmp_path / fusion / "model.keras")
        expected = np.asarray(model(mixed.values))
        np.savez(tmp_path / fusion / "clips.npz", expected=expected, **mixed.inputs)
    subprocess.run(
        [sys.executable, "-c", SCORE_ON_ANOTHER_BACKEND, str(tmp_path)],
        cwd=repository,
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )


@pytest.mark.parametrize("suffix", WHOLE)
def test_a_loaded_model_predicts_the_same_bits(suffix, sequences, tmp_path):
    model = used(sequences)
    save_model(model, tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    np.testing.assert_array_equal(
        loaded.predict(sequences.values, verbose=0), model.predict(sequences.values, verbose=0)
    )
    np.testing.assert_array_equal(
        loaded.attention(sequences.values)["traits"],
        model.attention(sequences.values)["traits"],
    )


def test_weights_are_loaded_into_a_model_that_fits(vectors, tmp_path):
    model, other = used(vectors), vectors.build()
    save_model(model, tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(vectors.values), model(vectors.values))


@pytest.mark.parametrize("suffix", WHOLE)
def test_keras_itself_loads_what_was_compiled(suffix, vectors, tmp_path):
    model = used(vectors)
    model.compile(keras.optimizers.AdamW(), loss="mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    save_model(model, tmp_path / f"model{suffix}")
    loaded = keras.saving.load_model(tmp_path / f"model{suffix}")
    np.testing.assert_array_equal(loaded(vectors.values), model(vectors.values))


@pytest.mark.parametrize("suffix", WHOLE)
def test_a_layer_frozen_in_part_keeps_its_weights_in_place(suffix, vectors, tmp_path):
    model = used(vectors)
    model.get_layer("block_1").static_side.trainable = False
    save_model(model, tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    np.testing.assert_array_equal(loaded(vectors.values), model(vectors.values))
    assert type(loaded) is type(model)


def test_saving_a_frozen_model_leaves_it_frozen(vectors, tmp_path):
    model = vectors.build()
    model.get_layer("block_1").static_side.trainable = False
    before = len(model.trainable_weights)
    save_model(model, tmp_path / "model.h5")
    assert len(model.trainable_weights) == before


def test_h5_is_saved_without_advice_against_it(vectors, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        save_model(vectors.build(), tmp_path / "model.h5")
    assert caplog.records == []


def test_other_warnings_of_keras_are_heard_while_saving(tmp_path, caplog):
    class Chatty:
        layers = ()

        def save(self, path, **_):
            logging.getLogger("absl").warning("The disk is almost full.")
            path.write_text("a model")

    with caplog.at_level(logging.WARNING):
        save_model(Chatty(), tmp_path / "model.h5")
    assert [record.getMessage() for record in caplog.records] == ["The disk is almost full."]


def test_a_save_that_fails_leaves_the_old_file(tmp_path):
    class Failing:
        def save(self, path, **_):
            path.write_text("half a model")
            raise OSError("no space left on device")

    path = tmp_path / "model.keras"
    path.write_text("the best so far")
    with pytest.raises(OSError, match="no space"):
        save_model(Failing(), path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["the best so far"]


def test_missing_directories_are_made(vectors, tmp_path):
    save_model(vectors.build(), tmp_path / "runs" / "1" / "model.keras")
    assert (tmp_path / "runs" / "1" / "model.keras").is_file()


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(ModelError, match=f"{name}: there is no such file"):
        load_model(tmp_path / name)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_file_that_is_no_model_is_named_in_one_line(name, tmp_path):
    (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(ModelError, match=f"{name}: does not hold a model") as caught:
        load_model(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_weights_without_a_model_are_not_loaded_as_one(vectors, tmp_path):
    save_model(vectors.build(), tmp_path / "model.weights.h5")
    with pytest.raises(ModelError, match=r"holds weights without a model.*model\.load_weights"):
        load_model(tmp_path / "model.weights.h5")


def test_a_file_with_code_in_it_is_refused_and_nothing_of_it_is_run(tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"model\.keras: does not hold a model that can be loaded"):
        load_model(tmp_path / "model.keras")
