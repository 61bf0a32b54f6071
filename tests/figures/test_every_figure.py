"""Checks of every figure: axes, legend, alt text, and damaged inputs."""

import copy
from inspect import signature

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.errors import PipelineError
from pipeline.figures.base.style import SCREEN, STYLES
from pipeline.figures.gallery import training_figures
from tests.figures.conftest import boxes_of, make_history, make_time_logs, records_of

FOLDERS = {
    "training_visualizations": (
        "training_dashboard train_val_loss train_val_accuracy train_val_mae train_val_mse "
        "train_val_r_squared train_val_pcc train_val_ccc learning_rate_changes batch_performance "
        "trait_Openness_metrics trait_Conscientiousness_metrics trait_Extraversion_metrics "
        "trait_Agreeableness_metrics trait_Neuroticism_metrics trait_comparison trait_metrics "
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
    "comparison": "metric_differences trait_scores loss_curves differences_from_first",
}
"""Folder in the run directory -> figure names. Other tools read these files."""

NAMES = [name for names in FOLDERS.values() for name in names.split()]
LOGS = ("history", "time_logs", "lr_logs")
FROM_LOGS = [
    name
    for name, spec in training_figures().items()
    if set(LOGS) & set(signature(spec.data).parameters)
]
ONE_EPOCH = sorted({*FROM_LOGS, "loss_curves"} - {"metrics_correlation_matrix"})
JUNK = st.sampled_from(
    [None, "text", 0, 5, -1.5, float("inf"), [], {}, [[1.0]], ["a"], [0.0] * 4, {"a": 1}, True]
)


def check_figure(spec, inputs, style):
    """Check the title, alt text, axes and legend of one figure."""
    data = spec.build_data(records_of(inputs))
    sentence = spec.alt_text(data)
    assert sentence.endswith(".")
    assert any(letter.isdigit() for letter in sentence)
    assert "nan" not in sentence
    assert spec.caption.endswith(".")
    assert spec.title[0].isupper()
    figure = spec.draw(data, style)
    assert figure.axes
    has_written_cells = any(axes.texts for axes in figure.axes)
    for axes in figure.axes:
        assert axes.has_data() or axes.texts or not axes.axison
        if axes.axison and axes.has_data():
            labels = [axes.get_title(loc=place) for place in ("left", "center", "right")]
            assert any([*labels, axes.get_xlabel(), axes.get_ylabel()]) or has_written_cells
    for legend in figure.legends:
        labels = [text.get_text() for text in legend.get_texts()]
        assert all(labels)
        assert len(set(labels)) == len(labels)
    boxes = boxes_of(figure, style)
    width, height = figure.canvas.get_width_height()
    assert all(-1 <= box.x0 <= box.x1 <= width + 1 for box in boxes)
    assert all(-1 <= box.y0 <= box.y1 <= height + 1 for box in boxes)


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_has_labels_and_an_alt_text(specs, inputs, name, style):
    check_figure(specs[name], inputs, style)


@pytest.mark.parametrize("style", STYLES.values(), ids=list(STYLES))
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_about_clips_names_them(specs, inputs, name, style):
    spec = specs[name]
    figure = spec.draw(spec.build_data(records_of(inputs)), style)
    is_about_time = "time" in name or name in {"throughput", "learning_rate_changes"}
    assert is_about_time or "clip" in figure.texts[0].get_text().lower()


@pytest.mark.parametrize("name", ONE_EPOCH)
def test_figures_can_be_drawn_after_one_epoch(specs, inputs, name):
    history = make_history(1)
    inputs |= {"history": history, "history_a": history, "history_b": history}
    check_figure(specs[name], inputs | {"time_logs": make_time_logs(1)}, SCREEN)


def test_figures_have_fixed_names_and_folders(specs):
    found = {folder: [] for folder in FOLDERS}
    for name, spec in specs.items():
        found[spec.folder].append(name)
    expected = {folder: sorted(names.split()) for folder, names in FOLDERS.items()}
    assert {folder: sorted(names) for folder, names in found.items()} == expected


def places_of(value, path=()):
    """Yield the path of keys of each value in nested JSON. Only first items of lists are used."""
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
def test_a_damaged_log_results_in_a_figure_or_a_one_line_error(specs, inputs, data):
    damaged = inputs | {name: copy.deepcopy(inputs[name]) for name in LOGS}
    damaged["time_logs"]["breakdown"] = {"step": [1.0, None], "figures": 0.5}
    log = data.draw(st.sampled_from(LOGS))
    *parents, key = data.draw(st.sampled_from(list(places_of(damaged[log]))))
    place = damaged[log]
    for parent in parents:
        place = place[parent]
    place[key] = data.draw(JUNK)
    spec = specs[data.draw(st.sampled_from(FROM_LOGS))]
    try:
        numbers = spec.build_data(records_of(damaged))
    except PipelineError as error:
        text = str(error)
    else:
        text = spec.alt_text(numbers)
        assert spec.draw(numbers).axes
    assert text
    assert "\n" not in text
