"""Load a configuration from YAML files and dotted overrides, check it, and write it."""

import copy
import dataclasses
import functools
import hashlib
import json
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import pydantic
import yaml

from pipeline.config.checks import range_message, ranges_of
from pipeline.config.experiment_files import find_experiment_file
from pipeline.config.extraction import ExtractionConfig
from pipeline.config.schema import ExperimentConfig, to_dict
from pipeline.config.yaml_file import parse_yaml, read_yaml_mapping
from pipeline.core.errors import ConfigError
from pipeline.core.files import write_text
from pipeline.core.near_names import did_you_mean, nearest_setting

_RANGE_ERRORS: Final = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
"""Types of pydantic's errors for numbers outside their range."""
_KEY_ERRORS: Final = {"unexpected_keyword_argument", "invalid_key"}
"""Types of pydantic's errors for unknown keys."""

_Settings = TypeVar("_Settings")


def load_config(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> ExperimentConfig:
    """Load an experiment file or the defaults, apply the overrides, and check the result.

    `path` is a path or the name of an experiment file; see `find_experiment_file`.
    The keys of `overrides` are dotted names. A value that is text is parsed as YAML, unless the
    type of the setting is `str`. If the setting is a list, commas may separate its entries.

    Raises:
        ConfigError: If the file is missing or malformed, a key is unknown (the message contains
            the nearest valid name), or a value is out of its range.
    """
    return _load(ExperimentConfig, path and find_experiment_file(path), overrides)


def load_run_config(path: Path) -> ExperimentConfig:
    """Load the configuration file of a run directory. The file contains every setting.

    Raises:
        ConfigError: As for `load_config`, or if the file is truncated. Without this check, the lost
            settings would get their default values.
    """
    config = _load(ExperimentConfig, path, None)
    given = read_yaml_mapping(path)
    missing = [field.name for field in dataclasses.fields(config) if field.name not in given]
    is_torn = not path.read_bytes().endswith(b"\n")
    if missing or is_torn:
        found = f"{missing[0]} is missing" if missing else "the last line is incomplete"
        raise ConfigError(
            f"{path}: is truncated ({found}). Restore the file from a backup, or start a new run."
        )
    return config


def load_extraction_config(
    path: Path | None = None, overrides: Mapping[str, Any] | None = None
) -> ExtractionConfig:
    """Load an extraction file. Arguments and errors are the same as for `load_config`."""
    return _load(ExtractionConfig, path and find_experiment_file(path, "extraction"), overrides)


def with_overrides(
    config: ExperimentConfig, overrides: Mapping[str, Any], *, source: str
) -> ExperimentConfig:
    """Return a checked copy of the configuration with the overrides applied.

    Error messages begin with `source`, which describes the origin of the overrides.

    Raises:
        ConfigError: If a setting is unknown, or the new configuration is not valid.
    """
    values = to_dict(config)
    for name, value in overrides.items():
        setting_type(name, source)
        _assign(values, name, value)
    return _validated(ExperimentConfig, values, source)


def setting_type(name: str, source: str, schema: Any = ExperimentConfig) -> Any:
    """Return the type of the setting with this dotted name.

    Raises:
        ConfigError: If there is no such setting; the message contains the nearest valid name.
    """
    keys = name.split(".")
    kind = schema
    for depth, key in enumerate(keys):
        if not dataclasses.is_dataclass(kind):
            raise ConfigError(
                f"{source}: {'.'.join(keys[:depth])} is a single value, not a section."
            )
        if key not in _field_names(kind):
            raise ConfigError(_unknown_setting(schema, name, _field_names(kind), source))
        kind = field_type(kind, key)
    return kind


def write_config(path: Path, config: ExperimentConfig) -> None:
    """Write every setting to a YAML file that `load_config` can read."""
    values = to_dict(config)
    # PyYAML cannot read these line breaks if they are not escaped.
    is_plain = not any(
        character in json.dumps(values, ensure_ascii=False) for character in "\x85\u2028\u2029"
    )
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=is_plain))


def flatten(config: ExperimentConfig) -> dict[str, Any]:
    """Return every setting by its dotted name, e.g. `{"model.num_heads": 4}`."""
    flat: dict[str, Any] = {}

    def visit(prefix: str, value: Any) -> None:
        if isinstance(value, dict) and value and prefix != "training.loss":
            for key, item in value.items():
                visit(f"{prefix}.{key}" if prefix else key, item)
        else:
            flat[prefix] = value

    visit("", to_dict(config))
    return flat


def config_hash(config: ExperimentConfig) -> str:
    """Return a hash of the settings that determine the result of a run."""
    values = to_dict(config)
    for section in ("tracking", "search"):
        values.pop(section)
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _load(
    schema: type[_Settings], path: Path | None, overrides: Mapping[str, Any] | None
) -> _Settings:
    from_file = _read_layers(path) if path else {}
    source = str(path) if path else "overrides"
    _check_kind(schema, from_file, source)
    values = copy.deepcopy(from_file)
    for name, value in (overrides or {}).items():
        _assign(values, name, _parse_override(schema, name, value))
    try:
        return _validated(schema, values, source)
    except ConfigError:
        if path and overrides:
            _validated(schema, from_file, source)  # raises an error if the file is not valid
            _validated(schema, values, "overrides")
        raise


def _check_kind(schema: Any, values: Mapping[str, Any], source: str) -> None:
    """Raise an error if the keys of a file fit the other configuration class, but not `schema`."""
    kinds = {ExperimentConfig: "an experiment", ExtractionConfig: "an extraction"}
    fitting = [
        kind for kind in kinds if set(values) <= {field.name for field in dataclasses.fields(kind)}
    ]
    if fitting and schema not in fitting:
        raise ConfigError(
            f"{source}: expected the configuration of {kinds[schema]}, found the configuration of "
            f"{kinds[fitting[0]]}."
        )


def _read_layers(path: Path) -> dict[str, Any]:
    values = read_yaml_mapping(path)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    base = read_yaml_mapping(path.parent / str(parent))
    if "extends" in base:
        raise ConfigError(
            f"{path}: extends {parent}, but {parent} also extends a file. Only one level is "
            f"allowed. Copy the settings of {base['extends']} into {parent}."
        )
    return _merge(base, values)


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        # A weighted sum of losses is one value, so it is replaced as a whole.
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "loss"
        merged[key] = _merge(merged[key], value) if nested else value
    return merged


def _assign(values: dict[str, Any], name: str, value: Any) -> None:
    *sections, setting = name.split(".")
    for section in sections:
        if not isinstance(values.get(section), dict):
            values[section] = {}
        values = values[section]
    values[setting] = value


def _parse_override(schema: Any, name: str, value: Any) -> Any:
    """Return the value of a command-line option. Values that are not text stay unchanged."""
    kind = setting_type(name, f"--{name}", schema)
    # The value of a `str` setting is not parsed, because YAML would convert `007` to a number.
    if isinstance(value, str) and value and kind is not str:
        try:
            value = parse_yaml(value)
        except ValueError as error:
            raise ConfigError(f"--{name}: {value!r} is not a valid value.") from error
    if isinstance(value, str) and typing.get_origin(kind) is tuple:
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


@functools.cache
def _adapter(schema: Any) -> pydantic.TypeAdapter[Any]:
    # Adapters are cached, because they are slow to create and a search needs them often.
    return pydantic.TypeAdapter(schema)


def _validated(schema: type[_Settings], values: dict[str, Any], source: str) -> _Settings:
    try:
        settings: _Settings = _adapter(typing.cast("Any", schema)).validate_python(values)
    except pydantic.ValidationError as error:
        # For a union, pydantic reports one error per type. The error with the longest path is used.
        fault = max(error.errors(include_url=False), key=lambda fault: len(fault["loc"]))
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, ConfigError):
            raise ConfigError(f"{source}: {cause}") from None
        if fault["type"] in _KEY_ERRORS:
            setting_type(".".join(map(str, fault["loc"])), source, schema)  # raises the error
        parts = (str(part) for part in fault["loc"])
        name = ".".join(part for part in parts if part.isidentifier() or part.isdecimal())
        if fault["type"] in _RANGE_ERRORS:
            section, _, key = name.rpartition(".")
            kind: Any = setting_type(section, source, schema) if section else schema
            message = range_message(ranges_of(kind)[key], fault["input"])
            raise ConfigError(f"{source}: {name} {message}") from None
        raise ConfigError(f"{source}: {name}: {_type_message(fault)}") from None
    return settings


def _type_message(fault: Any) -> str:
    found = fault["input"]
    if found is None:
        return "is empty; give a value, or delete the line."
    if fault["type"] == "dataclass_type":
        return f"must be a section with settings; got {found!r}."
    message = f"{fault['msg'][0].lower()}{fault['msg'][1:]}; got {found!r}."
    if fault["type"] == "literal_error":
        message += did_you_mean(str(found), re.findall("'([^']*)'", fault["ctx"]["expected"]))
    return message


def _unknown_setting(schema: Any, name: str, valid: Sequence[str], source: str) -> str:
    """Return the error message for the unknown setting `name`.

    `valid` contains the names that are valid in place of the last part of `name`.
    """
    near = nearest_setting(name, setting_names(schema, with_sections=True))
    if near is None:
        hint = f"valid keys: {', '.join(valid)}."
    else:
        hint = f"did you mean {'--' if source.startswith('--') else ''}{near}?"
    return f"{source}: unknown key {name}; {hint}"


def setting_names(schema: Any = ExperimentConfig, *, with_sections: bool = False) -> list[str]:
    """Return the dotted name of each setting, and of each section if `with_sections` is true."""
    names = []
    for name in _field_names(schema):
        kind = field_type(schema, name)
        is_section = dataclasses.is_dataclass(kind)
        if with_sections or not is_section:
            names.append(name)
        if is_section:
            deeper = setting_names(kind, with_sections=with_sections)
            names += [f"{name}.{each}" for each in deeper]
    return names


def _field_names(schema: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(schema)]


def field_type(schema: Any, key: str) -> Any:
    """Return the type of a field. For an optional section, return the type of the section."""
    hint = _type_hints(schema)[key]
    if isinstance(hint, types.UnionType):
        sections = [kind for kind in typing.get_args(hint) if dataclasses.is_dataclass(kind)]
        return sections[0] if sections else hint
    return hint


@functools.cache
def _type_hints(schema: Any) -> dict[str, Any]:
    # A search checks hundreds of configurations, and each call parses the annotations again.
    return typing.get_type_hints(schema)
