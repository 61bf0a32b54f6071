"""Find the experiment files that are part of this project by their names."""

from pathlib import Path
from typing import Final, Literal

from pipeline.core.errors import ConfigError
from pipeline.core.near_names import did_you_mean, did_you_mean_path

Kind = Literal["experiment", "search", "extraction"]

DEFAULT_SPACE: Final = Path("cross_attention")
"""Name of the space that `search` uses if none is given."""

_FOLDERS: Final[dict[Kind, str]] = {
    "experiment": "",
    "search": "search",
    "extraction": "extraction",
}
"""Kind of file -> its folder below the directory of the experiments."""


def experiments_dir() -> Path:
    """Return the directory of the experiment files.

    In an installed package, it is inside the package. In a clone, it is beside the package.
    """
    package_dir = Path(__file__).resolve().parents[1]
    inside = package_dir / "experiments"
    return inside if inside.is_dir() else package_dir.parent / "experiments"


def find_experiment_file(given: Path, kind: Kind = "experiment") -> Path:
    """Return the file for a path or a name, e.g. `first_impressions` or `ablations/demo_late`.

    An existing file has priority over a name.

    Raises:
        ConfigError: If there is no such file and no such name.
    """
    if given.is_file():
        return given
    folder = experiments_dir() / _FOLDERS[kind]
    for candidate in (folder / given, folder / f"{given}.yaml"):
        if candidate.is_file():
            return candidate
    names = experiment_names(kind)
    hint = did_you_mean_path(given) or did_you_mean(given.stem, names)
    raise ConfigError(
        f"{given}: there is no such configuration file.{hint} Give the path of a file, or one of "
        f"these names: {', '.join(names)}."
    )


def experiment_names(kind: Kind) -> list[str]:
    """Return the names of all experiment files of one kind."""
    folder = experiments_dir() / _FOLDERS[kind]
    paths = [path.relative_to(folder) for path in folder.rglob("*.yaml")]
    others = {name for name in _FOLDERS.values() if name} if kind == "experiment" else set()
    names = [path.with_suffix("").as_posix() for path in paths if path.parts[0] not in others]
    return sorted(names, key=lambda name: ("/" in name, name))
