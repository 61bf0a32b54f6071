"""Read YAML files safely: plain data, unique keys, limited size."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from pipeline.core.errors import ConfigError, one_line
from pipeline.core.near_names import did_you_mean_path

_MAX_BYTES: Final = 2**20
_MAX_LEVELS: Final = 32
_MAX_VALUES: Final = 100_000
"""Limits of a YAML file. An experiment file has about 100 values on 4 levels."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe loader that rejects repeated keys. PyYAML silently uses only the last value."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _count_values(node, {}) > _MAX_VALUES:
            raise yaml.YAMLError(f"its aliases expand to more than {_MAX_VALUES} values")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # `super().construct_mapping` raises the error
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        ValueError: If the text is not valid YAML, repeats a key, is too large or too deeply
            nested, or its aliases expand to too many values.
    """
    if len(text) > _MAX_BYTES:
        raise ValueError(f"it is larger than {_MAX_BYTES // 2**20} MiB")
    try:
        depth = 0
        # Deep nesting is rejected before `yaml.load`, because the recursive loader would overflow.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_LEVELS:
                raise ValueError(f"it is nested more than {_MAX_LEVELS} levels deep")
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(one_line(error)) from error


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Read the keys and values of a YAML file; return an empty dict for an empty file.

    Raises:
        ConfigError: If the file is missing, the text is not valid for `parse_yaml`, or the
            content is not a mapping.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_BYTES + 1).decode("utf-8")
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
        raise ConfigError(f"{path}: must contain keys and values; found a {type(values).__name__}.")
    return values


def _count_values(node: yaml.Node, counts: dict[int, int]) -> int:
    """Return the number of values in a node after the expansion of all aliases.

    Raises:
        YAMLError: If a node contains an alias of itself.
    """
    if id(node) not in counts:
        counts[id(node)] = 0  # 0 until all children of this node are counted
        children = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        counts[id(node)] = 1 + sum(_count_values(child, counts) for child in children)
    elif counts[id(node)] == 0:
        raise yaml.YAMLError("an alias refers to a value that contains it")
    return counts[id(node)]
