import pytest

from pipeline.core.errors import PipelineError
from pipeline.figures.base.spec import FigureSpec, NothingToDraw, Unavailable, registry


def spec(name="a", data=lambda x, y=None: (x, y), **options):
    fields = {"folder": "f", "title": "t", "caption": "c", "needs": ("x",), "uses": ("y",)}
    return FigureSpec(name=name, data=data, draw=None, alt_text=str, **(fields | options))


def test_a_figure_gets_what_it_needs_and_what_it_can_use():
    assert spec().build_data({"x": 1, "y": 2, "z": 3}) == (1, 2)


@pytest.mark.parametrize("missing", [{}, {"y": None}, {"y": Unavailable(reason="torn")}])
def test_what_a_figure_only_uses_may_be_missing(missing):
    assert spec().build_data({"x": 1, **missing}) == (1, None)


@pytest.mark.parametrize("inputs", [{}, {"x": None}])
def test_a_run_without_a_needed_record_has_nothing_to_draw(inputs):
    with pytest.raises(NothingToDraw, match="needs x, which is not there"):
        spec().build_data(inputs)


def test_a_needed_record_that_cannot_be_read_is_a_fault():
    with pytest.raises(PipelineError, match=r"^x\.json: torn$") as caught:
        spec().build_data({"x": Unavailable(reason="x.json: torn")})
    assert not isinstance(caught.value, NothingToDraw)


@pytest.mark.parametrize("error", [PipelineError, NothingToDraw])
def test_a_damaged_extra_does_not_cost_the_figure(error):
    def data(x, y=None):
        if y is not None:
            raise error("y is damaged")
        return x

    assert spec(data=data).build_data({"x": 1, "y": 2}) == 1


def test_a_damaged_need_is_told_as_such():
    def data(x, y=None):
        raise PipelineError("x is damaged")

    with pytest.raises(PipelineError, match="x is damaged"):
        spec(data=data).build_data({"x": 1, "y": 2})


def test_a_registry_keeps_the_order():
    assert list(registry(spec("b"), spec("a"))) == ["b", "a"]


def test_a_registry_refuses_a_name_twice():
    with pytest.raises(ValueError, match="repeated: a"):
        registry(spec("a"), spec("b"), spec("a"))
