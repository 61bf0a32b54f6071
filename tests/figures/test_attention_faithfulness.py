import numpy as np
import pytest

from pipeline.figures.attention_faithfulness import (
    describe_faithfulness,
    draw_faithfulness,
    faithfulness_data,
)
from pipeline.figures.spec import NothingToDraw
from pipeline.records.attention import (
    FRAMES,
    WINDOWS,
    AttentionMeasurements,
    DeletionCurves,
)

MOVEMENT = {
    "rollout/top": np.array([[0.0, 0.2, 0.2]]),
    "rollout/bottom": np.array([[0.0, 0.0, 0.2]]),
    "random": np.array([[0.0, 0.05, 0.2], [0.0, 0.15, 0.2]]),
}


def measured(*, error=True, streams=("static",), missing=None):
    curves = DeletionCurves(
        hidden_by="taken out by the mask",
        num_clips=12,
        hidden_share=np.array([0.0, 0.5, 1.0]),
        movement=MOVEMENT,
        error={name: values + 0.1 for name, values in MOVEMENT.items()} if error else {},
    )
    return AttentionMeasurements(
        key_kinds={"static": FRAMES, "dynamic": WINDOWS},
        mean_maps={"traits": np.full((1, 5, 4), 0.25)},
        deletions=dict.fromkeys(streams, curves),
        missing=missing or {},
    )


def test_without_steps_to_hide_the_reason_is_given():
    with pytest.raises(NothingToDraw, match="one vector a clip"):
        faithfulness_data(measured(streams=(), missing={"static": "it is one vector a clip."}))


def test_each_stream_has_its_movement_and_its_error():
    figure = draw_faithfulness(faithfulness_data(measured(streams=("static", "dynamic"))))
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    assert labels == [
        ("face frames hidden", "mean |Δ score|"),
        ("face frames hidden", "MAE (score units)"),
        ("flow windows hidden", "mean |Δ score|"),
        ("flow windows hidden", "MAE (score units)"),
    ]


def test_without_labels_only_the_movement_is_drawn():
    data = faithfulness_data(measured(error=False))
    assert not data.has_error
    assert len(draw_faithfulness(data).axes) == 1


def test_every_curve_is_drawn_as_the_mean_of_its_draws():
    axes = draw_faithfulness(faithfulness_data(measured())).axes[0]
    drawn = {tuple(line.get_ydata().round(9).tolist()): line.get_linestyle() for line in axes.lines}
    assert drawn == {(0.0, 0.2, 0.2): "-", (0.0, 0.0, 0.2): "--", (0.0, 0.1, 0.2): ":"}
    (band,) = axes.collections
    assert {0.05, 0.15} <= set(band.get_paths()[0].vertices[:, 1].round(9))


def test_the_legend_says_what_goes_first():
    (legend,) = draw_faithfulness(faithfulness_data(measured())).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "highest rollout",
        "lowest rollout",
        "random",
    ]


def test_the_areas_are_told_and_how_steps_are_hidden():
    assert describe_faithfulness(faithfulness_data(measured())).endswith(
        "face frames of 12 clips, taken out by the mask: highest rollout 0.150, "
        "lowest rollout 0.0500, random 0.100."
    )
