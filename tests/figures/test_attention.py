"""Values in the attention figures."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError
from pipeline.core.traits import TRAITS
from pipeline.evaluation.attention import AttentionSummary
from pipeline.figures.attention.grid import (
    Grid,
    is_even,
    key_labels,
    map_heading,
    map_name,
    shorten_clip_id,
    step_numbers,
)
from pipeline.figures.attention.heads import mean_agreement
from pipeline.figures.base.spec import NothingToDraw
from pipeline.figures.base.style import STYLES
from pipeline.figures.gallery import attention_figures, draw_gallery
from pipeline.records.attention import WHOLE, AttentionMeasurements, step_kind
from tests.figures.conftest import texts_of

BLOCK = "block_1/static_to_dynamic"


@pytest.mark.parametrize(
    ("attention", "reason"),
    [
        (AttentionMeasurements(missing={WHOLE: "attention over one key is always 1."}), "one key"),
        (AttentionMeasurements(), "not measured"),
    ],
)
def test_no_figure_is_drawn_without_maps(tmp_path, attention, reason):
    gallery = draw_gallery(
        attention_figures(), {"attention": attention, "trait_names": TRAITS}, tmp_path
    )
    assert (gallery.drawn, gallery.faults) == ((), ())
    assert all(reason in figure.reason for figure in gallery.omitted)


def test_head_agreement_is_the_mean_over_different_heads(build, draw, attention):
    matrix = np.array([[1.0, 0.2, 0.4], [0.2, 1.0, 0.9], [0.4, 0.9, 1.0]])
    changed = dataclasses.replace(attention, agreement={"traits": matrix})
    assert mean_agreement(build("head_agreement", attention=changed).maps["traits"]) == 0.5
    texts = [text.get_text() for text in draw("head_agreement", attention=changed).axes[0].texts]
    assert sorted(map(float, texts)) == sorted(matrix.ravel())


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("head_agreement", {"agreement": {"traits": np.ones((1, 1))}}, "one head"),
        ("attention_faithfulness", {"deletions": {}, "missing": {"static": "no steps."}}, "steps"),
        ("trait_rollout", {"trait_rollout": {}}, "cross-attention blocks"),
        ("multi_head_attention_sample_3", {"sample_ids": ("a", "b")}, "only 2 clips"),
    ],
)
def test_the_error_names_a_missing_measurement(build, attention, name, changes, message):
    with pytest.raises(NothingToDraw, match=message):
        build(name, attention=dataclasses.replace(attention, **changes))


def test_entropy_quantiles_ignore_undefined_clips(build, attention):
    entropy = {"traits": np.array([[0.0], [0.5], [1.0], [np.nan]])}
    changes = {"attention": dataclasses.replace(attention, entropy=entropy)}
    (found,) = build("attention_entropy", attention_history=None, **changes).maps
    np.testing.assert_allclose(found.quantiles[:, 0], [0.05, 0.25, 0.5, 0.75, 0.95])


@pytest.mark.parametrize("entropy", [None, {"other": [0.5, 0.5]}, {"traits": [0.5]}])
def test_the_error_names_an_invalid_event(attention, specs, entropy):
    with pytest.raises(PipelineError, match=r"events\.jsonl: an `attention` event"):
        specs["attention_entropy"].data(attention, [{"epoch": 1, "entropy": entropy}])


def test_deletion_curves_are_means_over_the_repetitions(draw):
    lines = draw("attention_faithfulness").axes[0].lines
    drawn = {tuple(line.get_ydata().round(9).tolist()) for line in lines}
    assert drawn == {(0.0, 0.2, 0.2), (0.0, 0.0, 0.2), (0.0, 0.1, 0.2)}


@pytest.mark.parametrize(("error", "num_panels"), [(True, 2), (False, 1)])
def test_prediction_errors_are_drawn_if_they_were_measured(draw, attention, error, num_panels):
    curves = attention.deletions["static"]
    curves = curves if error else dataclasses.replace(curves, error={})
    changed = dataclasses.replace(attention, deletions={"static": curves})
    assert len(draw("attention_faithfulness", attention=changed).axes) == num_panels


def test_the_figure_of_a_clip_has_one_column_per_head(build, attention):
    data = build("multi_head_attention_sample_2")
    assert data.columns == ("head 1", "head 2")
    np.testing.assert_array_equal(data.maps[BLOCK], attention.sample_maps[BLOCK][1])


def test_the_first_column_of_the_comparison_is_the_mean(build, attention):
    weights = build("attention_comparison").maps[BLOCK]
    np.testing.assert_allclose(weights[0], attention.mean_maps[BLOCK].mean(axis=0))
    np.testing.assert_allclose(weights[1:], attention.sample_maps[BLOCK].mean(axis=1))


def test_each_stream_has_its_share_and_its_weights(build, draw, attention):
    weights = {"static": np.tile((0.5, *[np.nan] * 3), (5, 1)), "dynamic": np.tile(0.2, (5, 3))}
    share = {"static": np.full(5, 0.4), "dynamic": np.full(5, 0.6)}
    changed = dataclasses.replace(attention, trait_attention=weights, trait_share=share)
    static, dynamic = build("trait_attention", attention=changed).streams
    np.testing.assert_allclose(static.share, 0.4)
    np.testing.assert_allclose(dynamic.share, 0.6)
    _, *traits = draw("trait_attention", attention=changed).axes[2].lines
    assert [line.get_ydata().tolist() for line in traits] == [[0.2] * 3] * 5


def test_even_attention_is_one_line_of_text(draw, attention):
    even = {
        name: np.full_like(maps, 1 / maps.shape[-1]) for name, maps in attention.sample_maps.items()
    }
    changed = dataclasses.replace(
        attention, sample_maps={**attention.sample_maps, "traits": even["traits"]}
    )
    figure = draw("multi_head_attention_sample_1", attention=changed)
    assert any("even attention, about 0.143 per key" in text for text in texts_of(figure))
    images = [len(axes.images) for axes in figure.axes]
    everything = draw("multi_head_attention_sample_1").axes
    assert sum(images) < sum(len(axes.images) for axes in everything)


def test_a_figure_of_only_even_attention_is_not_drawn(build, attention):
    maps = attention.sample_maps.items()
    even = {name: np.full_like(weights, 1 / weights.shape[-1]) for name, weights in maps}
    changed = dataclasses.replace(attention, sample_maps=even)
    with pytest.raises(NothingToDraw, match="the attention is even"):
        build("multi_head_attention_sample_1", attention=changed)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([[0.25, 0.25, 0.25, 0.25]], True),
        ([[0.26, 0.24, 0.25, 0.25]], True),
        ([[0.5, 0.2, 0.2, 0.1]], False),
        ([[0.5, 0.5, np.nan, np.nan]], True),
        ([[0.9, 0.1, np.nan, np.nan]], False),
        ([[1.0, np.nan, np.nan, np.nan]], False),
    ],
)
def test_attention_is_even_if_its_entropy_is_near_one(weights, expected):
    assert is_even(np.array(weights)) is expected


def test_keys_are_labelled_with_seconds_if_they_are_known(draw, attention):
    changed = dataclasses.replace(
        attention,
        seconds={"static": np.array([0.5, 1.5, 2.5, np.nan])},
        sample_seconds={"static": np.array([[0.1, 1.1, 2.1, 3.1]] * 3)},
    )
    assert key_labels(changed, "static") == ["0.5", "1.5", "2.5", ""]
    assert key_labels(changed, "static", 1) == ["0.1", "1.1", "2.1", "3.1"]
    assert key_labels(changed, "dynamic") == ["1", "2", "3"]
    texts = texts_of(draw("multi_head_attention_sample_1", attention=changed))
    assert {"0.1", "2.1"} <= set(texts)
    assert any("seconds" in text for text in texts)


@pytest.mark.parametrize("num_steps", [4, 16, 100, 300])
@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
def test_key_labels_do_not_overlap(style, num_steps):
    labels = [f"{step / 2:.1f}" for step in range(num_steps)]
    with style.applied():
        grid = Grid(style, title="T", rows=(("row", 0.8),), columns=("x",) * 4, left=10.0)
        (boxes,) = grid.boxes()
        num_texts = len(grid.figure.axes[0].texts)
        for box in boxes:
            grid.draw_map(box, np.zeros((3, 2 * num_steps)), limit=1.0, labels=[labels, labels])
        grid.figure.canvas.draw()
        drawn = [text.get_window_extent() for text in grid.figure.axes[0].texts[num_texts:]]
    assert len(drawn) >= 8
    pairs = itertools.pairwise(sorted(drawn, key=lambda extent: extent.x0))
    assert all(left.x1 < right.x0 for left, right in pairs)


def test_the_dashboard_draws_the_shares(draw, attention):
    widths = [bar.get_width() for bar in draw("attention_dashboard").axes[0].patches]
    static, dynamic = (attention.trait_attention[name].sum(axis=1) for name in attention.streams)
    assert widths == pytest.approx([*(static + dynamic), *static])


@pytest.mark.parametrize(
    ("name", "short", "heading"),
    [
        (BLOCK, "block 1, static → dynamic", "Block 1: face frames (rows)"),
        ("traits", "traits", "The traits attend to face frames and"),
        ("dynamic/traits", "traits → dynamic", "The traits attend to flow windows"),
    ],
)
def test_maps_have_display_names(attention, name, short, heading):
    assert map_name(name) == short
    assert map_heading(attention, name).startswith(heading)


def test_a_shortened_clip_id_keeps_both_ends():
    assert shorten_clip_id("video00521.001", 20) == "video00521.001"
    assert shorten_clip_id("a" * 30 + ".007.mp4", 13) == "aaaaaa…07.mp4"


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
@pytest.mark.parametrize("num_columns", [1, 4, 12])
def test_maps_are_inside_the_figure_and_do_not_overlap(style, num_columns):
    rows = (("upper", 0.8), ("lower", 0.4))
    with style.applied():
        grid = Grid(style, title="T", rows=rows, columns=("x",) * num_columns, left=10.0)
    width, height = grid.figure.get_size_inches() / style.em
    upper, lower = grid.boxes()
    for boxes in (upper, lower):
        assert boxes[0].left >= 10.0
        assert boxes[-1].left + boxes[-1].width < width
        assert all(a.left + a.width < b.left for a, b in itertools.pairwise(boxes))
    assert upper[0].top + upper[0].height < lower[0].top
    assert lower[0].top + lower[0].height < height


@given(st.integers(1, 5000), st.integers(1, 40))
def test_step_numbers_are_evenly_spaced_and_start_at_one(num_steps, most):
    numbers = step_numbers(num_steps, most)
    assert numbers[0] == 1
    assert len(numbers) <= most
    assert len(set(np.diff(numbers))) <= 1
    assert numbers[-1] <= num_steps


@pytest.fixture
def three_streams():
    """Measurements of three streams; the first sample clip lacks the audio."""
    num_keys = {"static": 2, "audio": 3, "pose": 4}
    summary = AttentionSummary(num_keys, num_samples=2)
    rng = np.random.default_rng(0)
    masks = {name: np.ones((4, keys), dtype=bool) for name, keys in num_keys.items()}
    masks["audio"][0] = False
    weights = {}
    for query, keys in [
        ("static", ("audio", "pose")),
        ("audio", ("static", "pose")),
        ("pose", ("static", "audio")),
    ]:
        shape = (4, 2, num_keys[query], sum(num_keys[key] for key in keys))
        weights[f"block_1/{query}_to_{'+'.join(keys)}"] = rng.random(shape)
    weights["traits"] = rng.random((4, 2, 5, 9))
    weights = {name: each / each.sum(axis=-1, keepdims=True) for name, each in weights.items()}
    summary.add(weights, masks)
    kinds = {name: step_kind(name) for name in num_keys}
    return summary.measurements(("a", "b", "c", "d"), kinds)


def test_every_figure_is_drawn_for_three_streams(three_streams, inputs, tmp_path):
    entropy = {name: [0.5, 0.5] for name in three_streams.mean_maps}
    events = [{"epoch": 1, "entropy": entropy}]
    given = {**inputs, "attention": three_streams, "attention_history": events}
    gallery = draw_gallery(attention_figures(), given, tmp_path)
    assert gallery.faults == ()
    drawn = {path.stem for path in tmp_path.rglob("*.png")}
    assert {"attention_dashboard", "attention_comparison", "trait_rollout"} <= drawn
    first, *_, last = (map_heading(three_streams, name) for name in three_streams.mean_maps)
    assert "face frames (rows) attend to audio steps and pose steps (columns)" in first
    assert "attend to face frames, audio steps and pose steps (left to right)" in last
