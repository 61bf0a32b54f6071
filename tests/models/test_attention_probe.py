import keras
import numpy as np

from pipeline.models.attention_probe import AttentionProbe

INPUTS = np.array([[1.0, 2.0], [3.0, 4.0]], dtype="float32")


def graph():
    inputs = keras.Input((2,), name="static")
    return [inputs], {"b/doubled": inputs * 2, "a/plus one": inputs + 1}


def test_it_reads_tensors_of_the_graph_by_name():
    found = AttentionProbe(*graph()).read([INPUTS], batch_size=1)
    np.testing.assert_array_equal(found["b/doubled"], INPUTS * 2)
    np.testing.assert_array_equal(found["a/plus one"], INPUTS + 1)


def test_names_keep_the_order_of_the_graph():
    assert list(AttentionProbe(*graph()).read([INPUTS], batch_size=2)) == [
        "b/doubled",
        "a/plus one",
    ]
