"""The settings of an extraction are checked when they are read."""

import ast
import dataclasses
import typing

import pytest

from pipeline.config.extraction import ExtractionConfig, is_network
from pipeline.config.loading import load_extraction_config
from pipeline.core.errors import ConfigError


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"sampling.num_steps": 0}, "at least 1; got 0"),
        ({"sampling.pair_seconds": 0}, "above 0; got 0"),
        ({"sampling.min_coverage": 1.1}, r"\[0.0, 1.0\]; got 1.1"),
        ({"faces.detect_px": 20}, "at least 48; got 20"),
        ({"faces.crop_px": 100}, "multiple of 16 .*got 100. The nearest is 96"),
        ({"faces.min_confidence": -1}, "got -1"),
        ({"static.dim": -1}, "at least 0; got -1"),
        ({"static.image_px": 8}, "at least 32; got 8"),
        ({"static.encoder": "resnet50"}, r"static\.weights must be given .*random"),
        ({"static.weights": "imagenet"}, r"must be empty for static\.encoder=hog"),
        ({"dynamic.encoder": "resnet50"}, r"dynamic\.weights must be given"),
        ({"dynamic.num_pairs": 0}, "at least 1; got 0"),
        ({"projection.method": "pca"}, "fitted on all clips"),
        ({"projection.method": "sparse"}, "must be gaussian; got 'sparse'"),
        ({"time_limit_seconds": 0}, "above 0; got 0"),
        ({"faces.crop": 1}, "did you mean faces.crop_px"),
        ({"model.num_heads": 4}, "unknown key model"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(overrides, words):
    with pytest.raises(ConfigError, match=words):
        load_extraction_config(None, overrides)


@pytest.mark.parametrize("name", ["default", "resnet50"])
def test_the_files_that_come_with_the_project_load(repository, name):
    config = load_extraction_config(repository / "experiments" / "extraction" / f"{name}.yaml")
    assert is_network(config) == (name != "default")
    assert (config.static.dim, config.dynamic.dim) == (512, 256)


def test_the_default_file_is_the_default(repository):
    path = repository / "experiments" / "extraction" / "default.yaml"
    assert load_extraction_config(path) == ExtractionConfig()


def test_fields_and_defaults_are_those_of_the_golden_file(repository):
    golden = repository / "tests" / "golden" / "extraction_fields.txt"
    assert list(fields(ExtractionConfig, "")) == golden.read_text("utf-8").splitlines()


def test_every_field_has_a_docstring(repository):
    source = (repository / "pipeline" / "config" / "extraction.py").read_text("utf-8")
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert len(classes) == 6
    for node in classes:
        for statement, after in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
            is_field = isinstance(statement, ast.AnnAssign) and "ClassVar" not in ast.unparse(
                statement.annotation
            )
            assert not is_field or isinstance(after, ast.Expr), ast.unparse(statement)


def fields(schema, prefix):
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        kind = hints[field.name]
        if dataclasses.is_dataclass(kind):
            yield from fields(kind, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name} = {field.default!r}"
