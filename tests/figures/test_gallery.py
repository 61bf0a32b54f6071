import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.core.errors import PipelineError
from pipeline.figures.gallery import draw_gallery, training_figures
from pipeline.figures.spec import Unavailable
from pipeline.figures.style import SCREEN
from tests.figures.contents import record_of

FOLDERS = {
    "training_visualizations": {
        "training_dashboard",
        "learning_rate_changes",
        "train_val_loss",
        "train_val_accuracy",
        "train_val_mae",
        "train_val_mse",
        "train_val_r_squared",
        "train_val_pcc",
        "train_val_ccc",
        "batch_performance",
        "trait_Openness_metrics",
        "trait_Conscientiousness_metrics",
        "trait_Extraversion_metrics",
        "trait_Agreeableness_metrics",
        "trait_Neuroticism_metrics",
        "trait_comparison",
        "metrics_correlation_matrix",
        "training_time_analysis",
        "scores_and_baselines",
        "predictions_vs_truth",
        "residuals",
        "calibration",
        "trait_correlations",
    },
    "training_time_analysis": {
        "epoch_time_analysis",
        "batch_time_analysis",
        "time_breakdown",
        "throughput",
        "training_time_dashboard",
    },
}


JUNK = st.sampled_from(
    [None, "text", 0, 5, -1.5, float("inf"), [], {}, [[1.0]], ["a"], [0.0] * 4, {"a": 1}, True]
)
LOGS = ("history", "time_logs", "lr_logs")
NAMES = [name for name, spec in training_figures().items() if set(LOGS) & set(spec.needs)]
SMALL = dataclasses.replace(SCREEN, dpi=30)


@pytest.fixture
def contents(history, time_logs, lr_logs):
    y_true = np.random.default_rng(0).random((30, 5))
    return {
        "history": history,
        "time_logs": time_logs | {"breakdown": {"step": [1.0, None], "figures": 0.5}},
        "lr_logs": lr_logs,
        "y_true": y_true,
        "y_pred": 0.5 + 0.5 * (y_true - 0.5),
        "split": "validation",
        "num_train_clips": 1100,
    }


@pytest.fixture
def inputs(contents):
    return {name: record_of(value) for name, value in contents.items()}


def some_of(*names):
    return {name: spec for name, spec in training_figures().items() if name in names}


def test_figures_have_the_places_that_tools_of_the_field_read():
    found = {folder: set() for folder in FOLDERS}
    for name, spec in training_figures().items():
        found[spec.folder].add(name)
    assert found == FOLDERS


def test_every_figure_that_the_inputs_allow_is_drawn(inputs, tmp_path):
    gallery = draw_gallery(training_figures(), inputs, tmp_path, style=SMALL)
    assert [figure.spec.name for figure in gallery.omitted] == ["scores_and_baselines"]
    assert gallery.omitted[0].reason == "needs evaluation.json, which is not there."
    assert not gallery.faults
    for figure in gallery.drawn:
        (path,) = figure.paths
        assert path == tmp_path / figure.spec.folder / f"{figure.spec.name}.png"
        with Image.open(path) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 5  # it is not blank


def test_alt_texts_are_sentences_with_numbers(inputs):
    for spec in training_figures().values():
        if "evaluation" in spec.needs:
            continue
        sentence = spec.alt_text(spec.build_data(inputs))
        assert sentence.endswith(".")
        assert any(letter.isdigit() for letter in sentence)
        assert "nan" not in sentence


def test_captions_and_titles_are_there():
    for spec in training_figures().values():
        assert spec.caption.endswith(".")
        assert spec.title[0].isupper()


def test_a_damaged_record_costs_its_figures_only(inputs, tmp_path):
    inputs["lr_logs"] = Unavailable(reason="lr_logs.json: cannot be read as JSON.")
    gallery = draw_gallery(
        some_of("training_dashboard", "learning_rate_changes", "train_val_mae"), inputs, tmp_path
    )
    assert [figure.spec.name for figure in gallery.drawn] == ["training_dashboard", "train_val_mae"]
    assert [figure.reason for figure in gallery.faults] == ["lr_logs.json: cannot be read as JSON."]


def test_a_run_before_its_first_epoch_is_no_fault(make_history, make_time_logs, tmp_path):
    inputs = {"history": record_of(make_history(0)), "time_logs": record_of(make_time_logs(0))}
    gallery = draw_gallery(training_figures(), inputs, tmp_path)
    assert not gallery.drawn
    assert not gallery.faults


def test_each_format_is_written(inputs, tmp_path):
    gallery = draw_gallery(some_of("train_val_mae"), inputs, tmp_path, formats=("svg", "pdf"))
    assert [path.name for path in gallery.drawn[0].paths] == [
        "train_val_mae.svg",
        "train_val_mae.pdf",
    ]


def test_an_unknown_format_is_refused_before_anything_is_drawn(inputs, tmp_path):
    with pytest.raises(PipelineError, match="'gif'"):
        draw_gallery(training_figures(), inputs, tmp_path, formats=("gif",))
    assert not list(tmp_path.iterdir())


def places_of(value, path=()):
    """Every place in nested JSON, as a path of keys; the first place stands for a whole list."""
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
def test_damage_anywhere_in_a_log_gives_a_figure_or_a_clear_refusal(contents, data):
    damaged = copy.deepcopy(contents)
    log = data.draw(st.sampled_from(LOGS))
    *parents, key = data.draw(st.sampled_from(list(places_of(damaged[log]))))
    place = damaged[log]
    for parent in parents:
        place = place[parent]
    place[key] = data.draw(JUNK)
    spec = training_figures()[data.draw(st.sampled_from(NAMES))]
    try:
        numbers = spec.build_data({name: record_of(value) for name, value in damaged.items()})
    except PipelineError as error:
        reason = str(error)
    else:
        reason = spec.alt_text(numbers)
        assert spec.draw(numbers).axes
    assert reason
    assert "\n" not in reason
