"""Checks that hold for every figure: what is written, where it stands, what is read aloud."""

import copy
import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError
from pipeline.figures.base.saving import is_blank
from pipeline.figures.base.spec import Unavailable
from pipeline.figures.base.style import SCREEN, STYLES
from pipeline.figures.comparison.differences import comparison_figures
from pipeline.figures.gallery import attention_figures, draw_gallery, training_figures
from tests.figures.contents import records_of

FOLDERS = {
    "training_visualizations": (
        "training_dashboard train_val_loss train_val_accuracy train_val_mae train_val_mse "
        "train_val_r_squared train_val_pcc train_val_ccc learning_rate_changes batch_performance "
        "trait_Openness_metrics trait_Conscientiousness_metrics trait_Extraversion_metrics "
        "trait_Agreeableness_metrics trait_Neuroticism_metrics trait_comparison "
        "metrics_correlation_matrix scores_and_baselines predictions_vs_truth residuals "
        "calibration trait_correlations training_time_analysis"
    ),
    "training_time_analysis": (
        "training_time_dashboard epoch_time_analysis batch_time_analysis time_breakdown throughput"
    ),
    "attention_visualizations": (
        "attention_dashboard trait_attention trait_rollout attention_faithfulness "
        "multi_head_attention_sample_1 multi_head_attention_sample_2 multi_head_attention_sample_3 "
        "attention_comparison attention_entropy head_agreement"
    ),
    "comparison": "metric_differences trait_scores loss_curves",
}
"""Folder in the run directory -> names of its figures, as other tools read them."""

NAMES = [name for names in FOLDERS.values() for name in names.split()]
LOGS = ("history", "time_logs", "lr_logs")
DRAWN_FROM_LOGS = [n for n, spec in training_figures().items() if set(LOGS) & set(spec.needs)]
JUNK = st.sampled_from(
    [None, "text", 0, 5, -1.5, float("inf"), [], {}, [[1.0]], ["a"], [0.0] * 4, {"a": 1}, True]
)


def check_figure(spec, inputs, style):
    """Check the words, the axes and the legend of one figure."""
    data = spec.build_data(records_of(inputs))
    sentence = spec.alt_text(data)
    assert sentence.endswith(".")
    assert any(letter.isdigit() for letter in sentence)
    assert "nan" not in sentence
    assert spec.caption.endswith(".")
    assert spec.title[0].isupper()
    figure = spec.draw(data, style)
    with style.applied():
        figure.canvas.draw()
    assert figure.axes
    check_axes(figure)
    width, height = figure.canvas.get_width_height()
    for box in text_boxes(figure):
        assert -1 <= box.x0 <= box.x1 <= width + 1
        assert -1 <= box.y0 <= box.y1 <= height + 1
    for legend in figure.legends:
        labels = [text.get_text() for text in legend.get_texts()]
        assert all(labels)
        assert len(set(labels)) == len(labels)


def check_axes(figure):
    """Check that no panel is empty, and that every axis has a label or texts beside it."""
    are_maps = any(axes.texts for axes in figure.axes)
    for axes in figure.axes:
        assert axes.has_data() or axes.texts or not axes.axison
        if axes.axison and axes.has_data():
            titles = [axes.get_title(loc=side) for side in ("left", "center", "right")]
            assert are_maps or any([axes.get_xlabel(), axes.get_ylabel(), *titles])


def text_boxes(figure):
    """Return the boxes of all texts in pixels."""
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, axes.title]
    return [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_labelled_and_described(specs, inputs, name, style):
    check_figure(specs[name], inputs, style)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_one_epoch_has_its_figures(specs, inputs, make_history, make_time_logs, name):
    logs = {"history": make_history(1), "time_logs": make_time_logs(1)}
    changed = inputs | logs | {"history_a": logs["history"], "history_b": logs["history"]}
    if name != "metrics_correlation_matrix":
        check_figure(specs[name], changed, SCREEN)


def test_figures_have_the_places_that_other_tools_read(specs):
    found = {folder: [] for folder in FOLDERS}
    for name, spec in specs.items():
        found[spec.folder].append(name)
    assert {folder: sorted(names) for folder, names in found.items()} == {
        folder: sorted(names.split()) for folder, names in FOLDERS.items()
    }


def test_every_figure_is_written(specs, inputs, tmp_path):
    small = dataclasses.replace(SCREEN, dpi=30)
    gallery = draw_gallery(specs, records_of(inputs), tmp_path, style=small)
    assert gallery.omitted == ()
    for figure in gallery.drawn:
        (path,) = figure.paths
        assert path == tmp_path / figure.spec.folder / f"{figure.spec.name}.png"
        assert not is_blank(path)


def test_a_missing_input_is_named(inputs, tmp_path):
    inputs["evaluation"] = None
    gallery = draw_gallery(only("scores_and_baselines"), records_of(inputs), tmp_path)
    assert [(omitted.reason, omitted.is_fault) for omitted in gallery.omitted] == [
        ("needs evaluation.json, which is not there.", False)
    ]


def test_a_damaged_input_loses_only_the_figures_that_need_it(inputs, tmp_path):
    inputs["lr_logs"] = Unavailable(reason="lr_logs.json: cannot be read as JSON.")
    names = ("training_dashboard", "learning_rate_changes", "train_val_mae")
    gallery = draw_gallery(only(*names), records_of(inputs), tmp_path)
    assert {figure.spec.name for figure in gallery.drawn} == {"training_dashboard", "train_val_mae"}
    assert [figure.reason for figure in gallery.faults] == ["lr_logs.json: cannot be read as JSON."]


@pytest.mark.parametrize("figures", [training_figures, attention_figures, comparison_figures])
def test_a_run_before_its_first_epoch_is_not_damaged(
    figures, make_history, make_time_logs, tmp_path
):
    inputs = {"history": make_history(0), "time_logs": make_time_logs(0)}
    gallery = draw_gallery(figures(), records_of(inputs), tmp_path)
    assert (gallery.drawn, gallery.faults) == ((), ())


def test_each_format_is_written(inputs, tmp_path):
    gallery = draw_gallery(
        only("train_val_mae"), records_of(inputs), tmp_path, formats=("svg", "pdf")
    )
    assert [path.name for path in gallery.drawn[0].paths] == [
        "train_val_mae.svg",
        "train_val_mae.pdf",
    ]


def test_an_unknown_format_raises_before_anything_is_drawn(inputs, tmp_path):
    with pytest.raises(PipelineError, match="'gif'"):
        draw_gallery(training_figures(), records_of(inputs), tmp_path, formats=("gif",))
    assert not list(tmp_path.iterdir())


def only(*names):
    return {name: spec for name, spec in training_figures().items() if name in names}


def places_of(value, path=()):
    """Yield every place in nested JSON as a path of keys; the first item stands for a list."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places_of(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from places_of(value[0], (*path, 0))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damage_in_a_log_gives_a_figure_or_a_one_line_error(specs, inputs, data):
    damaged = inputs | {name: copy.deepcopy(inputs[name]) for name in LOGS}
    damaged["time_logs"]["breakdown"] = {"step": [1.0, None], "figures": 0.5}
    log = data.draw(st.sampled_from(LOGS))
    *parents, key = data.draw(st.sampled_from(list(places_of(damaged[log]))))
    place = damaged[log]
    for parent in parents:
        place = place[parent]
    place[key] = data.draw(JUNK)
    spec = specs[data.draw(st.sampled_from(DRAWN_FROM_LOGS))]
    try:
        numbers = spec.build_data(records_of(damaged))
    except PipelineError as error:
        reason = str(error)
    else:
        reason = spec.alt_text(numbers)
        assert spec.draw(numbers).axes
    assert reason
    assert "\n" not in reason
