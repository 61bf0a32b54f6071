import pytest

from pipeline.records.evaluation import Interval
from pipeline.report import wording

NO_BREAK = "\N{NO-BREAK SPACE}"

CASES = {
    "percent": [((0.0123,), "1.2 %")],
    "duration": [((3785.0,), "1 h 3 min")],
    "interval": [
        (("r2", Interval(value=0.9, low=0.92955, high=0.93609)), "[0.930, 0.936]"),
        (("accuracy", Interval(0.9)), ""),
    ],
    "with_interval": [
        (("r2", Interval(value=0.93307, low=0.92955, high=0.93609)), "0.933 [0.930, 0.936]"),
        (("accuracy", Interval(0.9)), "0.9000"),
    ],
    "listing": [(([],), ""), ((["a"],), "a"), ((["a", "b", "c"],), "a, b and c")],
    "describe_values": [
        (((6,),), "6 values"),
        (((8, 32),), "8 steps of 32 values"),
        (((8, 64, 64, 3),), "8 steps of 64 × 64 × 3 values"),
    ],
    "monitor_name": [
        (("val_mae",), "validation MAE"),
        (("val_loss",), "validation loss"),
        (("loss",), "training loss"),
    ],
    "format_value": [
        ((None,), "–"),
        (([],), "–"),
        ((True,), "yes"),
        ((0,), "0"),
        ((0.1,), "0.1"),
        ((float("nan"),), "nan"),
        ((["a", 2],), "a, 2"),
        (({"name": "resnet50", "weights": None},), "name: resnet50, weights: –"),
    ],
    "encoder_name": [
        (({"name": "hog", "crop_px": 112},), "hog"),
        (("resnet",), "resnet"),
        (({"crop_px": 112},), "crop_px: 112"),
        (("unknown",), ""),
    ],
    "display_name": [
        (("nearest_neighbour",), "nearest neighbour"),
        (("cross_attention",), "cross-attention"),
    ],
    "capitalized": [(("val_mae of R²",), "Val_mae of R²"), (("",), "")],
}


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [(function, *case) for function, cases in CASES.items() for case in cases],
)
def test_values_are_formatted(function, arguments, expected):
    text = getattr(wording, function)(*arguments)
    assert text.replace(NO_BREAK, " ") == expected
    if function in {"percent", "duration", "interval", "with_interval"}:
        assert " " not in text  # units and intervals stay on the line of the value


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((0.15, 0.1, 0.2), ("0.150", "[0.100, 0.200]")),
        ((0.00031, -0.0001, 0.00078), ("0.00031", "[−0.00010, 0.00078]")),
        ((0.02, float("nan"), float("nan")), ("0.020", "")),
    ],
)
def test_a_difference_and_its_interval_have_the_same_decimals(ends, expected):
    value, low, high = ends
    found = wording.difference("r2", Interval(value=value, low=low, high=high))
    assert tuple(text.replace(NO_BREAK, " ") for text in found) == expected
