"""The differences of two runs are drawn with their intervals and their direction."""

import numpy as np
import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.seeds import generator
from pipeline.core.traits import TRAITS
from pipeline.evaluation.comparison import compare_predictions
from pipeline.figures.comparison import (
    ROWS,
    comparison_figures,
    describe_metric_differences,
    draw_metric_differences,
    metric_differences_data,
)
from pipeline.figures.gallery import draw_gallery
from pipeline.figures.style import PAPER, SCREEN
from pipeline.metrics.regression import METRICS
from pipeline.records.predictions import Predictions


def comparison(**intervals):
    """A comparison with one (value, low, high) a metric for all rows; undecided unless given."""
    rows = ("mean", *TRAITS)
    return {
        "names": ["first", "second"],
        "num_clips": 1200,
        "num_groups": 200,
        "confidence": 0.95,
        "differences": {
            metric: {
                row: dict(
                    zip(
                        ("value", "low", "high"),
                        intervals.get(metric, (0.0, -0.01, 0.01)),
                        strict=True,
                    )
                )
                for row in rows
            }
            for metric in METRICS
        },
    }


def test_what_a_comparison_writes_is_what_is_drawn():
    draw = generator(0, "figures")
    truth = draw.uniform(size=(30, 5))
    names = [f"clip-{row}" for row in range(30)]
    groups = [f"group-{row // 3}" for row in range(30)]
    near, far = (
        Predictions(
            clip_ids=names,
            groups=groups,
            y_true=truth,
            y_pred=truth + scale * draw.normal(size=truth.shape),
        )
        for scale in (0.01, 0.3)
    )
    written = compare_predictions(near, far, names=("near", "far"), num_resamples=200).to_json()

    data = metric_differences_data(written)

    assert data.names == ("near", "far")
    assert (data.num_clips, data.num_groups) == (30, 10)
    assert data.value["mae"][0] == written["differences"]["mae"]["mean"]["value"] > 0
    assert data.winners("mae") == data.winners("r2") == (0,) * len(ROWS)


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
def test_a_row_favours_the_better_run_where_its_interval_leaves_zero_out(metric, interval, winner):
    data = metric_differences_data(comparison(**{metric: interval}))

    assert data.winners(metric) == (winner,) * len(ROWS)


def test_zero_is_in_the_middle_and_all_ends_are_on_the_axis():
    data = metric_differences_data(comparison(r2=(0.2, 0.1, 0.3)))

    axes = draw_metric_differences(data).axes[METRICS.index("r2")]

    left, right = axes.get_xlim()
    assert left == -right
    assert right > 0.3
    assert [text.get_text() for text in axes.get_xticklabels()] == ["−0.2", "0", "+0.2"]


def test_runs_that_do_not_differ_at_all_still_have_an_axis():
    data = metric_differences_data(comparison(r2=(0.0, 0.0, 0.0)))

    assert data.limit("r2") == 1.0
    assert draw_metric_differences(data).axes


@pytest.mark.parametrize(("metric", "left", "right"), [("r2", "A", "B"), ("mae", "B", "A")])
def test_the_sides_say_which_run_is_better_there(metric, left, right):
    axes = draw_metric_differences(metric_differences_data(comparison())).axes[
        METRICS.index(metric)
    ]

    assert axes.get_title("left") == f"← {left} better"
    assert axes.get_title("right") == f"{right} better →"


def test_the_words_tell_the_means_and_what_they_show():
    data = metric_differences_data(comparison(r2=(0.02, 0.01, 0.03), mae=(0.004, 0.001, 0.007)))

    told = describe_metric_differences(data)

    assert told.startswith("B (second) minus A (first) on 1,200 clips")
    assert "R² 0.0200 (B is better)" in told
    assert "MAE 0.00400 (A is better)" in told
    assert "CCC 0 (undecided)" in told


@pytest.mark.parametrize("damage", ["differences", "num_clips", "confidence", "names"])
def test_what_is_no_comparison_is_refused(damage):
    written = comparison()
    del written[damage]

    with pytest.raises(PipelineError, match="Compare the runs again"):
        metric_differences_data(written)


def test_a_comparison_without_histories_draws_what_it_can(tmp_path):
    gallery = draw_gallery(comparison_figures(), {"comparison": comparison()}, tmp_path)

    assert [drawn.spec.name for drawn in gallery.drawn] == ["metric_differences"]
    assert gallery.drawn[0].paths[0] == tmp_path / "comparison" / "metric_differences.png"
    assert gallery.faults == ()
    assert {omitted.spec.name for omitted in gallery.omitted} == {"trait_scores", "loss_curves"}


@pytest.mark.parametrize("style", [SCREEN, PAPER])
def test_no_label_leaves_the_figure(style):
    written = comparison(mse=(0.0004, 0.00031, 0.00049)) | {"names": ["a" * 200, "b" * 200]}

    figure = draw_metric_differences(metric_differences_data(written), style)

    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    boxes += [label.get_window_extent() for axes in figure.axes for label in axes.get_yticklabels()]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    assert all(box.x0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
    assert np.isfinite(boxes[0].x0)
