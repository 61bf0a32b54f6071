"""Read YAML: plain data only, each key once, in bounded time and memory."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from pipeline.core.errors import ConfigError, one_line
from pipeline.core.near_names import did_you_mean_path

_MOST_BYTES: Final = 2**20
_MOST_LEVELS: Final = 32
_MOST_VALUES: Final = 100_000
"""Bounds of a YAML file; an experiment has about 100 values on 4 levels."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: YAML would drop the first in silence."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _count_values(node, {}) > _MOST_VALUES:
            raise yaml.YAMLError(f"its aliases stand for more than {_MOST_VALUES} values")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the loader below refuses it
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        ValueError: If it is not YAML, gives a key twice, is too large or nested too deeply,
            or its aliases stand for too many values.
    """
    if len(text) > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES // 2**20} MiB")
    try:
        depth = 0
        # The parser has a stack of its own; what comes after it calls itself on every level.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_LEVELS:
                raise ValueError(f"it is nested more than {_MOST_LEVELS} levels deep")
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(one_line(error)) from error


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Read the keys and values of a YAML file; an empty file has none.

    Raises:
        ConfigError: If the file is missing, cannot be parsed (see `parse_yaml`), or holds
            something else than keys and values.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1).decode("utf-8")
        values = parse_yaml(text)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such configuration file.{did_you_mean_path(path)}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is not valid YAML ({error}).") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold keys and values; found a {type(values).__name__}.")
    return values


def _count_values(node: yaml.Node, counts: dict[int, int]) -> int:
    """Return how many values a node stands for, every alias written out.

    Raises:
        YAMLError: If a node holds an alias of itself.
    """
    if id(node) not in counts:
        counts[id(node)] = 0  # until all that is below has been counted
        children = (
            [part for pair in node.value for part in pair]
            if isinstance(node, yaml.MappingNode)
            else node.value
            if isinstance(node, yaml.SequenceNode)
            else []
        )
        counts[id(node)] = 1 + sum(_count_values(child, counts) for child in children)
    elif counts[id(node)] == 0:
        raise yaml.YAMLError("an alias stands for the value that it is in")
    return counts[id(node)]
