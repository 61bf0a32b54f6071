import dataclasses

import numpy as np
import pytest

from pipeline.figures.attention_dashboard import (
    attention_dashboard_data,
    describe_attention_dashboard,
    draw_attention_dashboard,
)
from pipeline.figures.style import PAPER, SCREEN
from pipeline.records.attention import (
    FRAMES,
    WINDOWS,
    AttentionMeasurements,
    DeletionCurves,
)

CURVES = DeletionCurves(
    hidden_by="taken out by the mask",
    num_clips=2,
    hidden_share=np.array([0.0, 1.0]),
    movement={"traits/top": np.array([[0.0, 0.1]]), "random": np.array([[0.0, 0.1]])},
)
WHOLE = AttentionMeasurements(
    clip_ids=("first", "second"),
    key_kinds={"static": FRAMES, "dynamic": WINDOWS},
    num_keys={"static": 2, "dynamic": 2},
    mean_maps={"traits": np.full((2, 5, 4), 0.25)},
    entropy={"traits": np.full((2, 2), 0.5)},
    agreement={"traits": np.array([[1.0, 0.5], [0.5, 1.0]])},
    trait_attention={"static": np.full((5, 2), 0.3), "dynamic": np.full((5, 2), 0.2)},
    sample_trait_attention={"static": np.zeros((0, 5, 2)), "dynamic": np.zeros((0, 5, 2))},
    deletions={"static": CURVES, "dynamic": CURVES},
)


def titles(attention):
    figure = draw_attention_dashboard(attention_dashboard_data(attention))
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


def test_a_run_with_all_there_is_shows_all():
    assert titles(WHOLE) == [
        "attention on face frames",
        "look at face frames",
        "look at flow windows",
        "traits: entropy over clips",
        "effect of hiding steps",
        "effect of hiding steps",
    ]


@pytest.mark.parametrize("style", [SCREEN, PAPER])
def test_nothing_is_cut_at_the_edges(style):
    figure = draw_attention_dashboard(attention_dashboard_data(WHOLE), style)
    figure.canvas.draw()
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert box is None or (box.x0 >= 0 and box.x1 <= figure.bbox.x1)


def test_where_nothing_can_be_hidden_the_agreement_of_heads_is_shown():
    assert titles(dataclasses.replace(WHOLE, deletions={}))[-1] == "agreement of the heads"


def test_one_head_over_one_stream_leaves_what_there_is():
    alone = dataclasses.replace(
        WHOLE,
        agreement={"traits": np.ones((1, 1))},
        entropy={"traits": np.full((2, 1), 0.5)},
        trait_attention={"static": np.full((5, 2), 0.5)},
        deletions={},
    )
    assert titles(alone) == ["look at face frames", "traits: entropy over clips"]


def test_bars_show_the_share_of_each_trait():
    axes = draw_attention_dashboard(attention_dashboard_data(WHOLE)).axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([1.0] * 5 + [0.6] * 5)


@pytest.mark.parametrize(
    ("deletions", "expected"),
    [({"static": CURVES}, "and deletion curves."), ({}, "and no deletion curves.")],
)
def test_it_says_whether_attention_was_checked(deletions, expected):
    data = attention_dashboard_data(dataclasses.replace(WHOLE, deletions=deletions))
    assert describe_attention_dashboard(data).endswith(expected)
