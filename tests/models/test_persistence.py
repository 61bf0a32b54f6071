import importlib.util
import json
import logging
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from pipeline.core.errors import ModelError
from pipeline.core.seeds import generator
from pipeline.models import FUSIONS, load_model, save_model
from pipeline.models.persistence import load_architecture

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


def rewritten(path, source, **changes):
    """Write a copy of a `.keras` file with other contents in some of its members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        contents = {name: old.read(name) for name in old.namelist()}
        for name, content in {**contents, **changes}.items():
            new.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    inputs = keras.Input((2,))
    path = tmp_path_factory.mktemp("small") / "model.keras"
    keras.Model(inputs, keras.layers.Dense(1)(inputs)).save(path)
    return path


def described(class_name, module="keras.layers", **config):
    return json.dumps({"module": module, "class_name": class_name, "config": config})


HOSTILE = {
    "a huge description": ({"config.json": bytes(2**27)}, "config.json unpacks to 134217728"),
    "huge weights": ({"model.weights.h5": bytes(2**27)}, "it unpacks to 13"),
    "a path upwards": ({"../evil.txt": b"x"}, "leads out of the archive"),
    "an absolute path": ({"/tmp/evil.txt": b"x"}, "leads out of the archive"),
    "deep brackets": ({"config.json": b"[" * 100_000}, "recursion"),
    "a list": ({"config.json": b"[]"}, r"model\.keras: does not hold a model"),
    "PyTorch": ({"config.json": described("TorchModuleWrapper", module="x")}, "does not hold"),
    "a module of Python": (
        {"config.json": json.dumps({"module": "os", "class_name": "function", "config": "system"})},
        "does not hold a model",
    ),
    "code": (
        {
            "config.json": described(
                "Lambda", function={"class_name": "__lambda__", "config": {"value": "4wEAAA=="}}
            )
        },
        "Lambda|lambda",
    ),
}


@pytest.mark.parametrize(("changes", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(small, tmp_path, changes, message):
    path = rewritten(tmp_path / "model.keras", small, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: does not hold a model that can be loaded (")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert [found.name for found in tmp_path.rglob("*")] == ["model.keras"]


def test_a_flipped_bit_of_the_weights_is_noticed(small, tmp_path):
    content = bytearray(small.read_bytes())
    with zipfile.ZipFile(small) as archive:
        start = archive.getinfo("model.weights.h5").header_offset
    for place in range(start + 200, len(content) - 400, 997):
        content[place] ^= 1
        (tmp_path / "model.keras").write_bytes(content)
        content[place] ^= 1
        with pytest.raises(ModelError, match=r"model\.weights\.h5 does not fit its checksum"):
            load_model(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100000,
        described("Dense", units=1),
        described("Dense", units="x"),
        described("Lambda"),
        described("Functional", module="keras"),
        '{"class_name": 5}',
    ],
    ids=range(10),
)
def test_a_description_of_no_model_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "architecture.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=r"architecture\.json: does not hold a model") as caught:
        load_architecture(path)
    assert "\n" not in str(caught.value)
