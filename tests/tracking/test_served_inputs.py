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


def test_inputs_are_float32_in_the_order_of_the_model():
    static, dynamic, mask = read_inputs(TENSORS, REQUEST)
    assert {static.dtype, dynamic.dtype, mask.dtype} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(static, STATIC)
    np.testing.assert_array_equal(dynamic, REQUEST["dynamic"])
    np.testing.assert_array_equal(mask, MASK)


def test_lists_and_table_columns_are_equivalent():
    lists = {name: np.asarray(values).tolist() for name, values in REQUEST.items()}
    for request in (lists, pd.DataFrame(lists)):
        for found, expected in zip(
            read_inputs(TENSORS, request), read_inputs(TENSORS, REQUEST), strict=True
        ):
            np.testing.assert_array_equal(found, expected)


def test_without_a_mask_all_steps_are_valid():
    request = {name: values for name, values in REQUEST.items() if name != "static_mask"}
    *_, mask = read_inputs(TENSORS, request)
    np.testing.assert_array_equal(mask, np.ones((2, 3), np.float32))
    assert mask.dtype == np.float32


def test_a_mask_may_contain_booleans():
    *_, mask = read_inputs(TENSORS, {**REQUEST, "static_mask": MASK.astype(bool).tolist()})
    np.testing.assert_array_equal(mask, MASK)


EXPECTED = (
    "the inputs must be static (clips, 3, 2); dynamic (clips, 4); static_mask (clips, 3), optional"
)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"dynamic": None}, "dynamic must have shape (clips, 4), but has ()"),
        ({"dynamic": np.ones((2, 5))}, "dynamic must have shape (clips, 4), but has (2, 5)"),
        ({"static": STATIC[0]}, "static must have shape (clips, 3, 2), but has (3, 2)"),
        ({"dynamic": np.ones((1, 4))}, "the inputs have [1, 2] rows"),
        ({"dynamic": [["a" * 500] * 4] * 2}, "could not convert string to float"),
        ({"dynamic": [[1, 2], [1]]}, "in rows of one shape"),
        ({"dynamic": np.full((2, 4), np.nan)}, "dynamic contains a value that is not finite"),
        ({"dynamic": np.full((2, 4), 1e300)}, "dynamic contains a value that is not finite"),
        ({"dynamic": [[10**400] * 4] * 2}, "dynamic must contain numbers"),
        ({"static_mask": MASK * 7.5}, "static_mask contains 7.5; write 1"),
        ({"static_mask": MASK * -1}, "static_mask contains -1;"),
        ({"static_mask": MASK * [[1], [0]]}, "static_mask has no valid step in row 1"),
        ({"static_mask": MASK[:, :2]}, "static_mask must have shape (clips, 3), but has (2, 2)"),
        ({"dynamic_mask": np.ones((2, 4))}, f"the model has no input 'dynamic_mask'; {EXPECTED}"),
        ({"sttic": STATIC}, f"the model has no input 'sttic'; {EXPECTED}"),
    ],
)
def test_an_invalid_input_is_an_error_in_one_line(changes, part):
    with pytest.raises(RequestError) as error:
        read_inputs(TENSORS, {**REQUEST, **changes})
    assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        ({"static": STATIC}, f"dynamic is missing; {EXPECTED}"),
        ({}, f"static is missing; {EXPECTED}"),
        (STATIC, f"the inputs have no names; {EXPECTED}"),
        ([REQUEST], f"the inputs have no names; {EXPECTED}"),
        ({name: values[:0] for name, values in REQUEST.items()}, "there are no clips"),
    ],
)
def test_an_incomplete_request_is_an_error_with_the_expected_inputs(request_, part):
    with pytest.raises(RequestError) as error:
        read_inputs(TENSORS, request_)
    assert part in str(error.value)


def test_features_far_from_the_training_clips_are_an_error_except_padding():
    from pipeline.models.complete_personality_model import CompletePersonalityModel

    network = CompletePersonalityModel(
        2, 4, fusion_dim=8, num_heads=2, static_steps=3, static_masked=True
    )
    static = STATIC.astype(np.float32)
    static[1, 2] = 1e37  # a masked step
    request = {**REQUEST, "static": static}
    check_distances(network, read_inputs(network.inputs, request))
    whole = {**request, "static_mask": np.ones((2, 3))}
    with pytest.raises(RequestError, match="static of row 1 is 10000 standard deviations"):
        check_distances(network, read_inputs(network.inputs, whole))


def test_the_answer_of_the_server_does_not_contain_the_request():
    error = RequestError("dynamic is missing")
    error.message = f"Failed to predict data {STATIC}. \nError: {error.message}"  # as MLflow does
    answer = json.loads(error.serialize_as_json())
    assert answer["message"] == "These clips cannot be scored: dynamic is missing."
    assert (answer["error_code"], error.get_http_status_code()) == ("BAD_REQUEST", 400)


AUDIO = [
    *TENSORS,
    SimpleNamespace(name="dynamic_mask", shape=(None, 1)),
]


def test_a_clip_may_lack_a_stream_with_a_learned_token():
    masks = {"static_mask": MASK, "dynamic_mask": np.array([[0], [1]])}
    request = {**REQUEST, **masks}
    *_, mask = read_inputs(AUDIO, request, absent_streams=["dynamic"])
    np.testing.assert_array_equal(mask, [[0], [1]])
    with pytest.raises(RequestError, match="dynamic_mask has no valid step in row 0"):
        read_inputs(AUDIO, request)
    request["static_mask"] = MASK * [[0], [1]]
    with pytest.raises(RequestError, match="row 0 has no stream"):
        read_inputs(AUDIO, request, absent_streams=["static", "dynamic"])


def test_a_request_may_leave_out_a_stream_with_a_learned_token():
    static, dynamic, static_mask, mask = read_inputs(
        AUDIO, {"static": STATIC}, absent_streams=["dynamic"]
    )
    np.testing.assert_array_equal(static, STATIC)
    assert not dynamic.any()
    assert dynamic.shape == (2, 4)
    assert static_mask.all()
    np.testing.assert_array_equal(mask, [[0], [0]])
    with pytest.raises(RequestError, match="there is no stream"):
        read_inputs(AUDIO, {"static_mask": MASK}, absent_streams=["static", "dynamic"])
    lost = {"static": STATIC, "static_mask": MASK * [[0], [1]]}
    with pytest.raises(RequestError, match="row 0 has no stream"):
        read_inputs(AUDIO, lost, absent_streams=["static", "dynamic"])
