import math

import pytest

from pipeline.core import number_format
from pipeline.core.number_format import METRIC_LABELS, METRIC_NAMES
from pipeline.metrics.regression import METRICS

CASES = {
    "number": [
        ((0.93312,), "0.933"),
        ((0.0261,), "0.0261"),
        ((-52.04,), "−52.0"),
        ((1234.5,), "1,234"),
        ((0.09996,), "0.100"),
        ((9.999,), "10.0"),
        ((0,), "0"),
        ((2.3e-9,), "2.3e−09"),
        ((math.nan,), "undefined"),
        ((math.inf,), "undefined"),
    ],
    "decimal": [
        ((0.12345, 3), "0.123"),
        ((-0.0026, 3), "−0.003"),
        ((-0.0004, 3), "0.000"),
        ((2.0, 1), "2.0"),
        ((math.nan, 1), "undefined"),
    ],
    "metric_value": [
        (("accuracy", 0.9), "0.9000"),
        (("mae", 0.02614), "0.0261"),
        (("mse", 0.001234), "0.00123"),
        (("r2", -0.93), "−0.930"),
        (("loss", 12.345), "12.3"),
    ],
    "metric_differences": [
        (("r2", 0.15, 0.1, 0.2), ("0.150", "0.100", "0.200")),
        (("r2", 0.00031, -0.0001, 0.00078), ("0.00031", "−0.00010", "0.00078")),
        (("accuracy", 0.0, 0.0), ("0.0000", "0.0000")),
        (("r2", -1e-12, 0.0), ("−1.0e−12", "0")),
    ],
    "percent": [
        ((0.0,), "0 %"),
        ((0.837,), "84 %"),
        ((0.0123,), "1.2 %"),
        ((0.0004,), "0.04 %"),
        ((0.0997,), "10 %"),
        ((0.999,), "99.9 %"),
        ((1,), "100 %"),
        ((0.8964, 1), "89.6 %"),
        ((math.nan,), "undefined"),
    ],
    "duration": [
        ((0.0,), "0 ms"),
        ((0.0012,), "1.2 ms"),
        ((0.25,), "250 ms"),
        ((0.9999,), "1 s"),
        ((6.46,), "6.46 s"),
        ((59.97,), "1 min"),
        ((243,), "4 min 3 s"),
        ((3600.0,), "1 h"),
        ((3785.0,), "1 h 3 min"),
        ((math.nan,), "undefined"),
    ],
    "axis_unit": [
        ((0.5,), (1e3, "ms")),
        ((119,), (1.0, "s")),
        ((243,), (1 / 60, "min")),
        ((7200,), (1 / 3600, "h")),
    ],
    "count": [
        ((1, "clip"), "1 clip"),
        ((0, "clip"), "0 clips"),
        ((4800, "clip"), "4,800 clips"),
        ((48581,), "48,581"),
    ],
}


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [(function, *case) for function, cases in CASES.items() for case in cases],
)
def test_numbers_as_text(function, arguments, expected):
    assert getattr(number_format, function)(*arguments) == expected


@pytest.mark.parametrize(
    ("value", "text"), [(0.0041, "+0.004"), (-0.02, "−0.020"), (-6e-9, "0.000")]
)
def test_a_sign_is_written_unless_the_value_rounds_to_zero(value, text):
    assert number_format.decimal(value, 3, sign=True) == text


def test_all_metrics_have_a_label_and_a_name():
    assert set(METRIC_LABELS) == set(METRIC_NAMES) == {"loss", *METRICS}
