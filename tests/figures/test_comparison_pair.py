"""Two runs have the same letters, colours and names in every figure."""

import pytest

from pipeline.core.errors import PipelineError
from pipeline.figures.comparison_pair import (
    COLOURS,
    MAX_NAME,
    pair_handles,
    read_names,
    shortened,
)


def test_the_legend_names_both_runs_in_their_colours():
    first, second = pair_handles(("one", "other"))

    assert (first.get_label(), second.get_label()) == ("A: one", "B: other")
    assert (first.get_color(), second.get_color()) == COLOURS


def test_a_long_name_keeps_its_end():
    name = "/a/long/folder/of/runs/20260101-120000-demo-abcdef12"

    assert shortened(name) == f"…{name[1 - MAX_NAME :]}"
    assert len(shortened(name)) == MAX_NAME
    assert shortened("demo") == "demo"


@pytest.mark.parametrize("damaged", [{}, {"names": ["one"]}, {"names": None}, []])
def test_a_comparison_must_name_two_runs(damaged):
    with pytest.raises(PipelineError, match="`names` must be the names of two runs"):
        read_names(damaged)
