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

PREDICT = """
import sys
from pathlib import Path
import keras
import numpy as np
from pipeline.models import CompletePersonalityModel, load_model

tolerance = 0.0 if keras.backend.backend() == "tensorflow" else 1e-5
for directory in sorted(Path(sys.argv[1]).iterdir()):
    with np.load(directory / "clips.npz", allow_pickle=False) as clips:
        inputs = {name: clips[name] for name in clips if name != "expected"}
        expected = clips["expected"]
    models = [load_model(directory / name) for name in ("model.keras", "model.h5")]
    models.append(CompletePersonalityModel.from_config(models[0].get_config()))
    models[-1].load_weights(directory / "model.weights.h5")
    for model in models:
        scores = keras.ops.convert_to_numpy(model(inputs))
        np.testing.assert_allclose(scores, expected, rtol=0, atol=tolerance)
print(keras.backend.backend())
"""


def used(case, **changes):
    """Build a model, and change all its initial weights."""
    model = case.build(**changes)
    rng = generator(0, "weights")
    model.set_weights([rng.normal(0.5, 0.2, w.shape) for w in model.get_weights()])
    return model


@pytest.fixture
def saved_fusions(mixed, tmp_path):
    """A directory with one model of every fusion, in every format, and its predictions."""
    for fusion in FUSIONS:
        model = used(mixed, fusion=fusion)
        for suffix in (".keras", ".h5", ".weights.h5"):
            save_model(model, tmp_path / fusion / f"model{suffix}")
        expected = np.asarray(model(mixed.values))
        np.savez(tmp_path / fusion / "clips.npz", expected=expected, **mixed.inputs)
    return tmp_path


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_predictions_are_the_same_in_a_new_process_on_any_backend(backend, request, repository):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; the project does not need it")
    saved_fusions = request.getfixturevalue("saved_fusions")
    command = [sys.executable, "-c", PREDICT, str(saved_fusions)]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    done = subprocess.run(
        command, cwd=repository, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == backend


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("load", [load_model, keras.saving.load_model])
def test_the_weights_of_a_compiled_and_partly_frozen_model_are_not_swapped(
    suffix, load, vectors, tmp_path
):
    model = used(vectors)
    model.get_layer("block_1").side("static").trainable = False
    num_trainable = len(model.trainable_weights)
    model.compile(keras.optimizers.AdamW(), loss="mse", metrics=["mae"])
    model.optimizer.build(model.trainable_variables)
    save_model(model, tmp_path / f"model{suffix}")
    loaded = load(tmp_path / f"model{suffix}")
    np.testing.assert_array_equal(loaded(vectors.values), model(vectors.values))
    assert type(loaded) is type(model)
    assert len(model.trainable_weights) == num_trainable


def test_saving_h5_logs_no_advice_but_other_warnings(vectors, tmp_path, caplog, monkeypatch):
    class FullDisk(keras.Sequential):
        def save(self, path, **_):
            super().save(path)
            logging.getLogger("absl").warning("The disk is almost full.")

    with caplog.at_level(logging.WARNING):
        save_model(FullDisk([keras.Input((2,)), keras.layers.Dense(1)]), tmp_path / "model.h5")
    assert [record.getMessage() for record in caplog.records] == ["The disk is almost full."]


def test_a_failed_save_keeps_the_old_file(tmp_path):
    class Failing:
        def save(self, path, **_):
            path.write_text("half a model")
            raise OSError("no space left on device")

    path = tmp_path / "model.keras"
    path.write_text("the best so far")
    with pytest.raises(OSError, match="no space"):
        save_model(Failing(), path)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["the best so far"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.keras", None, "model.keras: there is no such file"),
        ("model.h5", None, "model.h5: there is no such file"),
        ("model.keras", b"not a model", "model.keras: is not a model"),
        ("model.h5", b"not a model", "model.h5: is not a model"),
        ("model.weights.h5", b"", r"weights without a model.*model\.load_weights"),
    ],
)
def test_a_file_without_a_model_is_a_one_line_error(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(tmp_path / name)
    assert "\n" not in str(caught.value)


def rewritten(path, source, **changes):
    """Write a copy of a `.keras` file with changed members."""
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
    "a list": ({"config.json": b"[]"}, r"model\.keras: is not a model"),
    "PyTorch": ({"config.json": described("TorchModuleWrapper", module="x")}, "is not a model"),
    "a module of Python": (
        {"config.json": json.dumps({"module": "os", "class_name": "function", "config": "system"})},
        "is not a model",
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
def test_a_hostile_file_is_a_one_line_error(small, tmp_path, changes, message):
    path = rewritten(tmp_path / "model.keras", small, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: is not a model that can be loaded (")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert [found.name for found in tmp_path.rglob("*")] == ["model.keras"]


def test_a_flipped_bit_in_the_weights_is_an_error(small, tmp_path):
    content = bytearray(small.read_bytes())
    with zipfile.ZipFile(small) as archive:
        start = archive.getinfo("model.weights.h5").header_offset
    for place in range(start + 200, len(content) - 400, 997):
        content[place] ^= 1
        (tmp_path / "model.keras").write_bytes(content)
        content[place] ^= 1
        with pytest.raises(ModelError, match=r"model\.weights\.h5 does not match its checksum"):
            load_model(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}"),
        "[" * 100000,
        described("Dense", units=1),
        described("Dense", units="x"),
        described("Lambda"),
        described("Functional", module="keras"),
        '{"class_name": 5}',
    ],
    ids=range(10),
)
def test_an_invalid_description_is_a_one_line_error(tmp_path, content):
    path = tmp_path / "architecture.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=r"architecture\.json: is not a model") as caught:
        load_architecture(path)
    assert "\n" not in str(caught.value)
