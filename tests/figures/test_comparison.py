"""Values in the figures that compare two runs."""

import pytest

from pipeline.figures.base.spec import NothingToDraw
from pipeline.figures.comparison import shorten_run_name
from pipeline.metrics.regression import METRICS
from tests.figures.conftest import make_comparison, make_evaluation


def history_of(losses, val_losses):
    return {
        "epoch": {
            "epoch_numbers": list(range(1, len(losses) + 1)),
            "loss": losses,
            "val_loss": val_losses,
            "metrics": {"mae": losses},
            "val_metrics": {"mae": val_losses},
        }
    }


@pytest.mark.parametrize(
    ("metric", "interval", "winner"),
    [
        ("r2", (0.02, 0.01, 0.03), 1),
        ("r2", (-0.02, -0.03, -0.01), 0),
        ("mae", (0.02, 0.01, 0.03), 0),
        ("mae", (-0.02, -0.03, -0.01), 1),
        ("r2", (0.02, -0.01, 0.05), None),
        ("r2", (0.02, None, None), None),
    ],
)
def test_a_run_wins_if_the_interval_excludes_zero(build, metric, interval, winner):
    data = build("metric_differences", comparison=make_comparison(**{metric: interval}))
    assert data.winners(metric) == (winner,) * 6


@pytest.mark.parametrize("ends", [(0.2, 0.1, 0.3), (0.0, 0.0, 0.0)])
def test_zero_is_in_the_middle_of_the_axis(draw, ends):
    figure = draw("metric_differences", comparison=make_comparison(r2=ends))
    left, right = figure.axes[METRICS.index("r2")].get_xlim()
    assert left == -right
    assert right > ends[2]


def test_bars_show_the_scores_of_both_runs(draw):
    for axes in draw("trait_scores").axes:
        bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
        assert bars == [(0, 0.4)] * 6 + [(0, -0.5)] * 6


@pytest.mark.parametrize("other", [{"split": "validation"}, {"num_clips": 7}])
def test_runs_evaluated_on_different_clips_are_not_compared(build, other):
    with pytest.raises(NothingToDraw, match="on 1200 test clips"):
        build("trait_scores", evaluation_b=make_evaluation(**other))


def test_each_run_has_its_own_epochs(build, draw):
    histories = {
        "history_a": history_of([3.0, 2.0], [4.0, 1.0]),
        "history_b": history_of([3.0], [2.5]),
    }
    first, second = build("loss_curves", **histories).curves["loss"]
    assert (len(first.epochs), len(second.epochs)) == (2, 1)
    assert (first.best_epoch, first.best_value) == (2, 1.0)
    for axes in draw("loss_curves", **histories).axes:
        assert [len(line.get_xdata()) for line in axes.lines] == [2, 2, 1, 1, 1, 1]


@pytest.mark.parametrize(("other", "scale"), [(3.0, "log"), (-0.5, "linear")])
def test_the_axis_is_logarithmic_after_a_large_decrease(draw, other, scale):
    falling = history_of([3.0, 0.1], [3.0, 0.1])
    figure = draw("loss_curves", history_a=falling, history_b=history_of([other], [other]))
    assert figure.axes[0].get_yscale() == scale


def test_a_shortened_run_name_keeps_its_end():
    name = "/a/long/folder/of/runs/20260101-120000-demo-abcdef12"
    assert len(shorten_run_name(name)) == 30
    assert name.endswith(shorten_run_name(name)[1:])
    assert shorten_run_name("demo") == "demo"
