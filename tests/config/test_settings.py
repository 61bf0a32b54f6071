"""The description of the settings agrees with the configuration classes."""

import dataclasses

import pytest

from pipeline.config.extraction import ExtractionConfig
from pipeline.config.loading import setting_names
from pipeline.config.settings import experiment_sections, extraction_sections


@pytest.fixture(scope="module")
def settings():
    """Dotted name -> description of each setting."""
    sections = (*experiment_sections(), *extraction_sections())
    return {each.name: each for section in sections for each in section.settings}


def test_every_setting_and_section_has_a_description(settings):
    expected = {*setting_names(), *setting_names(ExtractionConfig), "data.synthetic"}
    assert set(settings) == expected
    assert [each.name for each in settings.values() if not each.meaning.endswith(".")] == []
    sections = (*experiment_sections(), *extraction_sections())
    assert [section.name for section in sections if not section.summary] == []


@pytest.mark.parametrize(
    ("name", "kind", "allowed", "default"),
    [
        ("training.num_epochs", "whole number", "at least 1", "50"),
        ("training.learning_rate", "number", "above 0", "0.001"),
        ("model.dropout_rate", "number", "in [0, 1)", "0.3"),
        ("training.optimizer", "adamw, adam", "", "adamw"),
        ("training.loss", "mae, mse, huber, ccc or {name: number}", "", "mse"),
        ("training.tensorboard", "true or false", "", "false"),
        ("data.split_seed", "whole number or null", "", "null"),
        ("data.streams", "list, separated by commas", "", "empty"),
        ("data.features_dir", "text", "", "empty"),
        ("data.synthetic.noise", "number", "in [0.0, 0.2]", "0.03"),
        ("faces.crop_px", "whole number", "at least 32", "112"),
        ("time_limit_seconds", "number", "above 0", "120"),
    ],
)
def test_type_range_and_default_are_in_plain_words(settings, name, kind, allowed, default):
    found = settings[name]
    assert (found.kind, found.allowed, found.default) == (kind, allowed, default)


def test_the_meaning_is_the_whole_docstring_in_one_line(settings):
    meaning = settings["training.monitor"].meaning
    assert meaning.startswith("Validation metric that selects the best epoch. Early stopping")
    assert not any("\n" in each.meaning for each in settings.values())


def test_sections_are_in_the_order_of_the_classes():
    names = [section.name for section in extraction_sections()]
    fields = [field.name for field in dataclasses.fields(ExtractionConfig)]
    assert names == ["extraction", *(name for name in fields if name in names)]
