"""Reads a YAML file that has to hold keys and values, each key once."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.core.errors import ConfigError


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice: YAML would drop the first in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [
            self.construct_object(key, deep=True)
            for key, _ in node.value
            if key.tag != "tag:yaml.org,2002:merge"
        ]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Read the keys and values of a YAML file; an empty file has none.

    Raises:
        ConfigError: If the file is missing, is not YAML, gives a key twice, or holds
            something else than keys and values.
    """
    try:
        # _UniqueKeyLoader is a SafeLoader.
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such configuration file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2024-13-45 is not a date
        detail = " ".join(str(error).split())
        raise ConfigError(f"{path}: is not valid YAML ({detail}).") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold keys and values; found a {type(values).__name__}.")
    return values
