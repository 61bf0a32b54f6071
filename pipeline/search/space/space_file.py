"""Read a search space from a YAML file, and check the space."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.config.experiment_files import find_experiment_file
from pipeline.config.loading import flatten, setting_type
from pipeline.config.schema import ExperimentConfig, ModelConfig
from pipeline.config.yaml_file import read_yaml_mapping
from pipeline.core.errors import ConfigError
from pipeline.core.near_names import nearest_name
from pipeline.search.space.space import FUSION_DIM, NUM_HEADS, Parameter, Space, is_on_step, label

_KEYS: Final = ("choices", "low", "high", "step", "log", "when")
_NO_EFFECT: Final = "it does not change the score of a trial"
_NOT_SEARCHED: Final = {
    "data.": "all trials must use the same clips",
    "evaluation.": "it changes the intervals of the scores, but not the scores",
    "tracking.": _NO_EFFECT,
    "search.": "it is a setting of the search itself",
    "name": _NO_EFFECT,
    "description": _NO_EFFECT,
    "seed": "a lucky seed does not improve the model; search.num_seeds averages over seeds",
    "training.monitor": "search.metric sets it for all trials",
    "training.num_folds": "search.num_folds sets it for all trials",
    "training.deterministic": _NO_EFFECT,
    "training.tensorboard": _NO_EFFECT,
    "training.cache": _NO_EFFECT,
}
"""Setting or section that cannot be searched -> the reason."""


def load_space(path: Path, base: ExperimentConfig) -> Space:
    """Read a search space. `path` is a path or the name of a file; see `find_experiment_file`.

    A space file has the keys `name` and `parameters`. Model settings do not need the prefix
    `model.`. The values of a parameter are given as a list of choices, as `{choices: [...]}`, or as
    a range `{low, high}`. A range may also have `step` or `log: true`. A parameter with
    `when: {other: value}` is active only if `other` has this value.

    Raises:
        ConfigError: If a setting is unknown or cannot be searched, if a range is invalid, or if
            values from the space give an invalid configuration.
    """
    path = find_experiment_file(path, "search")
    values = read_yaml_mapping(path)
    for key in values:
        if key not in ("name", "parameters"):
            hint = _hint(str(key), ["name", "parameters"])
            raise ConfigError(
                f"{path}: unknown key {key}; {hint} Put settings to search below `parameters`."
            )
    listed = values.get("parameters")
    if not isinstance(listed, dict) or not listed:
        raise ConfigError(
            f"{path}: must have `parameters`, with one line per setting to search, "
            "for instance `dropout_rate: {low: 0.0, high: 0.6}`."
        )
    parameters = [_parameter(path, str(name), given) for name, given in listed.items()]
    name = str(values.get("name") or path.stem)
    space = Space(name=name, parameters=_in_order(path, parameters), base=base, path=path)
    space.check()
    return space


def _parameter(path: Path, name: str, given: Any) -> Parameter:
    full_name = _full_name(path, name)
    kind = setting_type(full_name, str(path))
    where = f"{path}: {full_name}"
    for rule, reason in _NOT_SEARCHED.items():
        if full_name == rule or (rule.endswith(".") and full_name.startswith(rule)):
            raise ConfigError(f"{where}: cannot be searched: {reason}.")
    if isinstance(given, list):
        given = {"choices": given}
    if not isinstance(given, dict):
        raise ConfigError(
            f"{where}: must be a list of choices, or {{low, high}}; got {given!r}. "
            "Put a setting with one value into the configuration."
        )
    for key in given:
        if key not in _KEYS:
            raise ConfigError(f"{where}: unknown key {key}; {_hint(str(key), _KEYS)}")
    when = _conditions(path, where, given.get("when", {}))
    if "choices" in given:
        return _categorical(where, full_name, given, when)
    return _number(where, full_name, kind, given, when)


def _full_name(path: Path, name: str) -> str:
    settings = list(flatten(ExperimentConfig()))
    if "." in name or name in settings:
        return name
    full_name = f"model.{name}"
    if full_name in settings:
        return full_name
    elsewhere = [setting for setting in settings if setting.rpartition(".")[2] == name]
    model_settings = [field.name for field in dataclasses.fields(ModelConfig)]
    nearest = elsewhere[0] if elsewhere else nearest_name(name, [*model_settings, *settings])
    listed = f"settings of the model: {', '.join(model_settings)}."
    hint = f"did you mean {nearest}?" if nearest else listed
    raise ConfigError(f"{path}: unknown setting {name}; {hint}")


def _conditions(path: Path, where: str, given: Any) -> dict[str, tuple[Any, ...]]:
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: when must be {{other: value}}; got {given!r}.")
    return {
        _full_name(path, str(name)): tuple(value) if isinstance(value, list) else (value,)
        for name, value in given.items()
    }


def _categorical(
    where: str, name: str, given: Mapping[str, Any], when: dict[str, tuple[Any, ...]]
) -> Parameter:
    choices = given["choices"]
    others = [key for key in given if key not in ("choices", "when")]
    if others:
        raise ConfigError(f"{where}: choices and {others[0]} exclude each other.")
    if not isinstance(choices, list) or len(choices) < 2:
        raise ConfigError(f"{where}: choices must be a list of at least two; got {choices!r}.")
    labels = [(type(choice), label(choice)) for choice in choices]
    for choice, own in zip(choices, labels, strict=True):
        if labels.count(own) > 1:
            raise ConfigError(f"{where}: the choice {choice!r} is given twice.")
    return Parameter(name=name, kind="categorical", choices=tuple(choices), when=when)


def _number(
    where: str, name: str, kind: Any, given: Mapping[str, Any], when: dict[str, tuple[Any, ...]]
) -> Parameter:
    if kind not in (int, float):
        raise ConfigError(
            f"{where}: is not a number, so a range is not valid; "
            f"give a list of choices{_valid_values(kind)}."
        )
    missing = [key for key in ("low", "high") if key not in given]
    if missing:
        raise ConfigError(f"{where}: {missing[0]} is missing; give low and high, or choices.")
    low, high, step = given["low"], given["high"], given.get("step")
    for key, value in (("low", low), ("high", high), ("step", step)):
        _check_number(where, key, value, kind)
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{where}: log must be true or false; got {log!r}.")
    _check_range(where, low, high, step, log=log)
    if kind is float:
        low, high, step = float(low), float(high), None if step is None else float(step)
    kind = kind.__name__
    return Parameter(name=name, kind=kind, low=low, high=high, step=step, log=log, when=when)


def _check_number(where: str, key: str, value: Any, kind: type) -> None:
    if value is None and key == "step":
        return
    allowed = int if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        expected = "a whole number" if kind is int else "a number (write 1.0e-4, not 1e-4)"
        raise ConfigError(f"{where}: {key} must be {expected}; got {value!r}.")


def _check_range(where: str, low: float, high: float, step: float | None, *, log: bool) -> None:
    if not low < high:
        raise ConfigError(f"{where}: low must be below high; got low {low}, high {high}.")
    if log and step is not None:
        raise ConfigError(f"{where}: log and step exclude each other.")
    if log and low <= 0:
        raise ConfigError(f"{where}: log needs low above 0; got {low}.")
    if step is not None and (step <= 0 or not is_on_step(high, low, step)):
        raise ConfigError(
            f"{where}: high must be a whole number of steps above low; got low {low}, "
            f"high {high}, step {step}."
        )


def _in_order(path: Path, parameters: list[Parameter]) -> tuple[Parameter, ...]:
    """Sort the parameters. Each parameter comes after the parameters that it depends on."""
    by_name: dict[str, Parameter] = {}
    for parameter in parameters:
        if parameter.name in by_name:
            name = parameter.name
            raise ConfigError(f"{path}: {name} is given twice, with and without `model.`.")
        by_name[parameter.name] = parameter
    ordered: dict[str, Parameter] = {}

    def add(parameter: Parameter, dependents: tuple[str, ...]) -> None:
        if parameter.name in dependents:
            cycle = " -> ".join((*dependents, parameter.name))
            raise ConfigError(f"{path}: the `when` conditions form a cycle: {cycle}.")
        for name in _dependencies(path, parameter, by_name):
            add(by_name[name], (*dependents, parameter.name))
        ordered.setdefault(parameter.name, parameter)

    for parameter in parameters:
        add(parameter, ())
    return tuple(ordered.values())


def _dependencies(path: Path, parameter: Parameter, by_name: Mapping[str, Parameter]) -> list[str]:
    for name, allowed in parameter.when.items():
        where = f"{path}: {parameter.name}: when"
        if name not in by_name:
            raise ConfigError(f"{where}: {name} is not searched; {_hint(name, list(by_name))}")
        for value in allowed:
            if not by_name[name].allows(value):
                raise ConfigError(
                    f"{where}: {name} is never {value!r}, so {parameter.name} is never searched."
                )
    is_heads = parameter.name == NUM_HEADS and FUSION_DIM in by_name
    return [*parameter.when, FUSION_DIM] if is_heads else list(parameter.when)


def _valid_values(kind: Any) -> str:
    for each in typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,):
        if typing.get_origin(each) is typing.Literal:
            return f" from {', '.join(map(str, typing.get_args(each)))}"
    return " true and false" if kind is bool else ""


def _hint(name: str, names: typing.Sequence[str]) -> str:
    nearest = nearest_name(name, names)
    return f"did you mean {nearest}?" if nearest else f"valid: {', '.join(names)}."
