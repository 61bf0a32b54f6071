import functools

import keras
import numpy as np
import pytest

from pipeline.models import FUSIONS, load_model, save_model
from pipeline.models.heads import TraitScores
from pipeline.models.inference import infer

pytestmark = pytest.mark.slow

KINDS = ("vectors", "sequences")


@pytest.fixture
def traces(monkeypatch):
    """Return a list that gets one entry per trace of the last layer of a model."""
    found, call = [], TraitScores.call

    @functools.wraps(call)  # Keras reads the names of the arguments
    def counted(layer, *arguments, **settings):
        found.append(layer)
        return call(layer, *arguments, **settings)

    monkeypatch.setattr(TraitScores, "call", counted)
    return found


def first(case, num_clips):
    return [values[:num_clips] for values in case.values]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fusion", [*FUSIONS])
def test_the_scores_equal_those_of_keras_to_the_bit(kind, fusion, request):
    case = request.getfixturevalue(kind)
    model, other = (case.build(fusion=fusion) for _ in range(2))
    other.set_weights(model.get_weights())
    for num_clips in (12, 5, 1):
        inputs = first(case, num_clips)
        other.predict_function = None  # Keras then traces the graph for this number of clips
        np.testing.assert_array_equal(infer(model, inputs), other.predict_on_batch(inputs))


def test_a_model_is_traced_once_for_all_batch_sizes(sequences, traces):
    model = sequences.build()
    traces.clear()
    for num_clips in (12, 5, 1):
        assert infer(model, first(sequences, num_clips)).shape == (num_clips, 5)
    assert len(traces) == 1


def test_batches_have_at_most_the_given_size(sequences):
    model = sequences.build()
    parts = [
        infer(model, [values[rows] for values in sequences.values])
        for rows in np.split(np.arange(12), [5, 10])
    ]
    np.testing.assert_array_equal(
        infer(model, sequences.values, batch_size=5), np.concatenate(parts)
    )


def test_outputs_keep_their_structure(vectors):
    inputs = [keras.Input((4,), name=name) for name in ("static", "dynamic")]
    model = keras.Model(inputs, {"sum": inputs[0] + inputs[1], "static": inputs[0]})
    found = infer(model, vectors.values, batch_size=5)
    np.testing.assert_array_equal(found["sum"], sum(vectors.values))
    np.testing.assert_array_equal(found["static"], vectors.inputs["static"])


def test_inputs_can_be_given_by_name(sequences):
    model = sequences.build()
    by_name = dict(reversed(sequences.inputs.items()))
    np.testing.assert_array_equal(infer(model, by_name), infer(model, sequences.values))


def test_no_clips_give_no_rows(sequences):
    assert infer(sequences.build(), first(sequences, 0)).shape == (0, 5)


def test_changed_weights_change_the_scores(vectors):
    model = vectors.build()
    before = infer(model, vectors.values)
    model.set_weights([weights + 0.1 for weights in model.get_weights()])
    after = infer(model, vectors.values)
    assert (after != before).any()
    np.testing.assert_array_equal(after, model.predict_on_batch(vectors.values))


def test_a_model_can_be_saved_after_inference(vectors, tmp_path):
    model = vectors.build()
    expected = infer(model, vectors.values)
    save_model(model, tmp_path / "model.keras")
    found = infer(load_model(tmp_path / "model.keras"), vectors.values)
    np.testing.assert_array_equal(found, expected)
