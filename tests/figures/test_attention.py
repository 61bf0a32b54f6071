import dataclasses

import numpy as np
import pytest

from pipeline.figures.attention import attention_figures
from pipeline.figures.gallery import draw_gallery
from pipeline.figures.style import STYLES
from pipeline.records.attention import (
    FRAMES,
    LEARNED_TOKENS,
    WHOLE,
    WINDOWS,
    AttentionMeasurements,
    DeletionCurves,
    read_attention,
    write_attention,
)

NAMES = [
    "attention_dashboard",
    "trait_attention",
    "trait_rollout",
    "attention_faithfulness",
    "multi_head_attention_sample_1",
    "multi_head_attention_sample_2",
    "multi_head_attention_sample_3",
    "attention_comparison",
    "attention_entropy",
    "head_agreement",
]
MAPS = {"block_1/static_to_dynamic": (4, 3), "block_1/dynamic_to_static": (3, 4), "traits": (5, 7)}
"""Queries and keys of each map."""
HISTORY = [{"epoch": epoch, "entropy": {name: [0.9, 0.5] for name in MAPS}} for epoch in (1, 2)]


def measured(*, kinds=(FRAMES, WINDOWS)):
    rng = np.random.default_rng(0)
    samples = {name: rng.dirichlet(np.ones(t), (3, 2, q)) for name, (q, t) in MAPS.items()}
    looks = np.split(samples["traits"].mean(axis=1), [4], axis=-1)
    by_stream = dict(zip(("static", "dynamic"), looks, strict=True))
    curve = np.array([[0.0, 0.1, 0.2]])
    curves = DeletionCurves(
        hidden_by="taken out by the mask",
        num_clips=3,
        hidden_share=np.array([0.0, 0.5, 1.0]),
        movement={"traits/top": curve, "traits/bottom": curve, "random": np.tile(curve, (5, 1))},
    )
    return AttentionMeasurements(
        clip_ids=("first", "second", "third"),
        key_kinds=dict(zip(("static", "dynamic"), kinds, strict=True)),
        num_keys={"static": 4, "dynamic": 3},
        mean_maps={name: maps.mean(axis=0) for name, maps in samples.items()},
        entropy={name: rng.random((3, 2)) for name in MAPS},
        agreement={name: np.array([[1.0, 0.4], [0.4, 1.0]]) for name in MAPS},
        trait_attention={name: values.mean(axis=0) for name, values in by_stream.items()},
        trait_rollout={name: values.mean(axis=0) for name, values in by_stream.items()},
        sample_ids=("first", "second", "third"),
        sample_maps=samples,
        sample_trait_attention=by_stream,
        sample_trait_rollout=by_stream,
        deletions={"static": curves} if kinds[0] == FRAMES else {},
        missing={} if kinds[0] == FRAMES else {"static": "there are no steps to hide."},
    )


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
def test_every_figure_is_drawn_from_the_file_alone(tmp_path, style):
    write_attention(tmp_path / "attention.npz", measured())
    inputs = {
        "attention": read_attention(tmp_path / "attention.npz"),
        "attention_history": HISTORY,
    }
    gallery = draw_gallery(attention_figures(), inputs, tmp_path, style=style)
    assert [figure.spec.name for figure in gallery.drawn] == NAMES
    assert gallery.omitted == ()
    for figure in gallery.drawn:
        (path,) = figure.paths
        assert path.parent == tmp_path / "attention_visualizations"
        assert path.stat().st_size > 5_000
        assert len(figure.alt_text) > 40


def test_learned_tokens_have_every_figure_but_the_deletion_curves(tmp_path):
    inputs = {"attention": measured(kinds=(LEARNED_TOKENS, LEARNED_TOKENS))}
    gallery = draw_gallery(attention_figures(), inputs, tmp_path)
    (omitted,) = gallery.omitted
    assert omitted.spec.name == "attention_faithfulness"
    assert omitted.reason == "there are no steps to hide."
    assert not omitted.is_fault


def test_over_a_single_key_no_figure_is_drawn_and_the_reason_is_returned(tmp_path):
    reason = "attention over one key is always 1."
    inputs = {"attention": AttentionMeasurements(missing={WHOLE: reason})}
    gallery = draw_gallery(attention_figures(), inputs, tmp_path)
    assert gallery.drawn == ()
    assert {figure.reason for figure in gallery.omitted} == {f"no attention to show: {reason}"}
    assert gallery.faults == ()
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_not_measured_says_so(tmp_path):
    gallery = draw_gallery(attention_figures(), {"attention": None}, tmp_path)
    assert gallery.drawn == ()
    assert all("needs attention" in figure.reason for figure in gallery.omitted)


def test_many_blocks_and_one_head_are_drawn(tmp_path):
    whole = measured()
    one_head = {name: maps[:, :1] for name, maps in whole.sample_maps.items()}
    more = {f"block_{n}/static_to_dynamic": one_head["block_1/static_to_dynamic"] for n in (2, 3)}
    maps = {**more, **one_head}
    inputs = {
        "attention": dataclasses.replace(
            whole,
            sample_maps=maps,
            mean_maps={name: values.mean(axis=0) for name, values in maps.items()},
            entropy={name: np.full((3, 1), 0.5) for name in maps},
            agreement={name: np.ones((1, 1)) for name in maps},
        )
    }
    gallery = draw_gallery(attention_figures(), inputs, tmp_path)
    assert [figure.spec.name for figure in gallery.omitted] == ["head_agreement"]
