"""Description of every setting: type, default, range and meaning, from the configuration classes.

Python does not keep the docstrings of fields, so they are read from the source code.
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.config.checks import range_text, ranges_of
from pipeline.config.extraction import ExtractionConfig
from pipeline.config.schema import ExperimentConfig

_TYPES: Final = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    tuple: "list, separated by commas",
    dict: "{name: number}",
    types.NoneType: "null",
}
"""Type of a setting -> its name in plain words. All other types are sections."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """Description of one setting."""

    name: str
    """Dotted name, e.g. `training.num_epochs`."""
    kind: str
    """Type, e.g. `whole number`; for a choice, all possible values."""
    allowed: str
    """Range of a number, e.g. `at least 1`; "" without a range."""
    default: str
    """Default as it can be typed on the command line; `empty` for an empty text or list."""
    meaning: str
    """Docstring of the setting, in one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingSection:
    """Settings of one section of a configuration file."""

    name: str
    """Dotted name, e.g. `data.synthetic`; `experiment` or `extraction` for the top level."""
    summary: str
    """Docstring of the section, in one line."""
    settings: tuple[Setting, ...]


def experiment_sections() -> tuple[SettingSection, ...]:
    """Describe all settings of an experiment."""
    return tuple(_sections(ExperimentConfig, "experiment"))


def extraction_sections() -> tuple[SettingSection, ...]:
    """Describe all settings of an extraction."""
    return tuple(_sections(ExtractionConfig, "extraction"))


def _sections(schema: Any, title: str, prefix: str = "") -> Iterator[SettingSection]:
    """Yield the section of a class, and then the sections inside it."""
    hints = typing.get_type_hints(schema)
    docs = _documented(schema)
    nested = {name: _section_class(hint) for name, hint in hints.items() if name in docs}
    yield SettingSection(
        name=prefix or title,
        summary=docs[""],
        settings=tuple(
            Setting(
                name=f"{prefix}.{field.name}".lstrip("."),
                kind=_describe_type(hints[field.name]),
                allowed=_range_of(schema, field.name),
                default=_describe_default(field),
                meaning=docs[field.name],
            )
            for field in dataclasses.fields(schema)
            if hints[field.name] is not nested[field.name]
        ),
    )
    for name, section in nested.items():
        if section is not None:
            yield from _sections(section, title, f"{prefix}.{name}".lstrip("."))


def _section_class(hint: Any) -> Any:
    """Return the class of a section or an optional section, else None."""
    candidates = typing.get_args(hint) or (hint,)
    return next((kind for kind in candidates if dataclasses.is_dataclass(kind)), None)


def _range_of(schema: Any, name: str) -> str:
    allowed = ranges_of(schema).get(name)
    return "" if allowed is None else range_text(allowed)


def _describe_type(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_describe_type, arguments))
    if origin is typing.Literal:
        return ", ".join(map(str, arguments))
    return _TYPES.get(origin or hint, "section")


def _describe_default(field: "dataclasses.Field[Any]") -> str:
    value = field.default
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value) if value not in ("", ()) else "empty"


def _documented(schema: Any) -> Mapping[str, str]:
    """Return the docstring of each field of a class, and of the class itself with the key ""."""
    return _docstrings(schema.__module__)[schema.__name__]


@functools.cache
def _docstrings(module_name: str) -> dict[str, dict[str, str]]:
    """Return class name -> field name -> docstring in one line, of all classes of a module."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module_name)))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            texts = {"": ast.get_docstring(node) or ""}
            for statement, following in zip(node.body, node.body[1:], strict=False):
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    texts[statement.target.id] = _text(following)
            found[node.name] = {name: " ".join(text.split()) for name, text in texts.items()}
    return found


def _text(node: ast.stmt) -> str:
    """Return the value of a statement that is only a text, else ""."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""
