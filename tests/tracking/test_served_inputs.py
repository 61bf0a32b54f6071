import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.tracking.served_inputs import RequestError, check_distances, read_inputs

TENSORS = [
    SimpleNamespace(name="static", shape=(None, 3, 2)),
    SimpleNamespace(name="dynamic", shape=(None, 4)),
    SimpleNamespace(name="static_mask", shape=(None, 3)),
]
MASK = np.array([[1, 1, 0], [1, 0, 0]])
STATIC = np.arange(12.0).reshape(2, 3, 2)
REQUEST = {"dynamic": np.ones((2, 4), int), "static": STATIC, "static_mask": MASK}


def test_inputs_come_as_float32_in_the_order_of_the_model():
    static, dynamic, mask = read_inputs(TENSORS, REQUEST)
    assert {static.dtype, dynamic.dtype, mask.dtype} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(static, STATIC)
    np.testing.assert_array_equal(dynamic, REQUEST["dynamic"])
    np.testing.assert_array_equal(mask, MASK)


def test_lists_and_the_columns_of_a_table_are_read_alike():
    lists = {name: np.asarray(values).tolist() for name, values in REQUEST.items()}
    for request in (lists, pd.DataFrame(lists)):
        for found, expected in zip(
            read_inputs(TENSORS, request), read_inputs(TENSORS, REQUEST), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_without_a_mask_every_step_is_there():
    request = {name: values for name, values in REQUEST.items() if name != "static_mask"}
    *_, mask = read_inputs(TENSORS, request)
    np.testing.assert_array_equal(mask, np.ones((2, 3), np.float32))
    assert mask.dtype == np.float32


def test_a_mask_may_be_of_truth_values():
    *_, mask = read_inputs(TENSORS, {**REQUEST, "static_mask": MASK.astype(bool).tolist()})
    np.testing.assert_array_equal(mask, MASK)


TAKES = "expected static (clips, 3, 2); dynamic (clips, 4); static_mask (clips, 3), optional"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dynamic": None}, "dynamic has the shape (), expected (clips, 4)"),
        ({"dynamic": np.ones((2, 5))}, "dynamic has the shape (2, 5), expected (clips, 4)"),
        ({"static": STATIC[0]}, "static has the shape (3, 2), expected (clips, 3, 2)"),
        ({"dynamic": np.ones((1, 4))}, "the inputs are of [1, 2] clips"),
        ({"dynamic": [["a" * 500] * 4] * 2}, "could not convert string to float"),
        ({"dynamic": [[1, 2], [1]]}, "in rows of one shape"),
        ({"dynamic": np.full((2, 4), np.nan)}, "dynamic holds a value that is not a finite"),
        ({"dynamic": np.full((2, 4), 1e300)}, "dynamic holds a value that is not a finite"),
        ({"dynamic": [[10**400] * 4] * 2}, "dynamic does not hold numbers"),
        ({"static_mask": MASK * 7.5}, "static_mask holds 7.5; write 1 where a step is there"),
        ({"static_mask": MASK * -1}, "static_mask holds -1;"),
        ({"static_mask": MASK * [[1], [0]]}, "static_mask has no step at all in row 1"),
        ({"static_mask": MASK[:, :2]}, "static_mask has the shape (2, 2), expected (clips, 3)"),
        ({"dynamic_mask": np.ones((2, 4))}, f"the model takes no 'dynamic_mask'; {TAKES}"),
        ({"sttic": STATIC}, f"the model takes no 'sttic'; {TAKES}"),
    ],
)
def test_what_a_feature_set_would_refuse_is_refused_in_one_line(changes, words):
    with pytest.raises(RequestError) as refusal:
        read_inputs(TENSORS, {**REQUEST, **changes})
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"static": STATIC}, f"there is no dynamic; {TAKES}"),
        ({}, f"there is no static; {TAKES}"),
        (STATIC, f"the inputs have no names; {TAKES}"),
        ([REQUEST], f"the inputs have no names; {TAKES}"),
        ({name: values[:0] for name, values in REQUEST.items()}, "there are no clips"),
    ],
)
def test_a_request_that_lacks_something_is_told_what_the_model_takes(request_, words):
    with pytest.raises(RequestError) as refusal:
        read_inputs(TENSORS, request_)
    assert words in str(refusal.value)


def test_what_lies_far_from_the_training_clips_is_refused_but_not_as_padding():
    from pipeline.models.complete_personality_model import CompletePersonalityModel

    network = CompletePersonalityModel(
        2, 4, fusion_dim=8, num_heads=2, static_steps=3, static_masked=True
    )
    static = STATIC.astype(np.float32)
    static[1, 2] = 1e37  # the mask says that nothing is there
    request = {**REQUEST, "static": static}
    check_distances(network, read_inputs(network.inputs, request))
    whole = {**request, "static_mask": np.ones((2, 3))}
    with pytest.raises(RequestError, match="static of row 1 lies 10000 standard deviations"):
        check_distances(network, read_inputs(network.inputs, whole))


def test_the_answer_of_a_server_is_the_reason_and_not_the_request():
    refusal = RequestError("dynamic is missing")
    refusal.message = (
        f"Failed to predict data {STATIC}. \nError: {refusal.message}"  # as MLflow does
    )
    answer = json.loads(refusal.serialize_as_json())
    assert answer["message"] == "These clips cannot be scored: dynamic is missing."
    assert (answer["error_code"], refusal.get_http_status_code()) == ("BAD_REQUEST", 400)
