"""Models of two streams and the OCEAN traits equal those of earlier versions.

`tests/golden/two_stream_models.json` was recorded at commit b6be69d, before models had other
numbers of streams. For each fusion, it contains the scores and attention weights of a new model
with the seed 0, the paths of its weights, and the names of the arrays in its `.keras` file.
"""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from pipeline.models import FUSIONS, CompletePersonalityModel, load_model, save_model


@pytest.fixture
def golden(repository):
    path = repository / "tests" / "golden" / "two_stream_models.json"
    return json.loads(path.read_text(encoding="utf-8"))


CASES = [*FUSIONS, "one_block"]


def clips(model):
    """Return two clips: a masked static sequence, a dynamic vector or sequence, and the mask."""
    _, dynamic, _ = model.inputs
    shape = (2, *dynamic.shape[1:])
    return [
        np.sin(np.arange(40, dtype=np.float32)).reshape(2, 5, 4),
        np.cos(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape),
        np.array([[True] * 5, [True, False, True, False, False]]),
    ]


def build(arguments):
    keras.utils.set_random_seed(0)
    sizes = {"fusion_dim": 4, "num_heads": 2, "static_steps": 5, "num_tokens": 3}
    return CompletePersonalityModel(4, 3, static_masked=True, **sizes, **arguments)


@pytest.mark.parametrize("case", CASES)
def test_a_new_model_has_the_same_scores_and_attention(case, golden):
    model = build(golden[case]["arguments"])
    np.testing.assert_allclose(model(clips(model)), golden[case]["scores"], atol=1e-6)
    expected = golden[case]["attention"]
    found = model.attention(clips(model)) if model.has_attention else {}
    assert [*found] == [*expected]
    for name, weights in found.items():
        np.testing.assert_allclose(weights[1, 0, 0], expected[name], atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_weights_and_saved_arrays_have_the_same_names_and_order(case, golden, tmp_path):
    model = build(golden[case]["arguments"])
    assert [weight.path for weight in model.weights] == golden[case]["weights"]
    save_model(model, tmp_path / "model.keras")
    stored = []
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        arrays = h5py.File(io.BytesIO(archive.read("model.weights.h5")))
    arrays.visititems(
        lambda name, item: stored.append(name) if isinstance(item, h5py.Dataset) else None
    )
    assert stored == golden[case]["stored"]


def test_a_model_file_of_an_earlier_version_has_the_same_scores(golden, repository):
    run = repository / "tests" / "golden" / "run_of_an_earlier_version" / "finished"
    model = load_model(run / "model.keras")
    assert type(model) is CompletePersonalityModel
    with np.load(run / "input_example.npz", allow_pickle=False) as example:
        scores = model({name: example[name] for name in example})
    np.testing.assert_allclose(scores, golden["run_of_an_earlier_version"], atol=1e-6)
