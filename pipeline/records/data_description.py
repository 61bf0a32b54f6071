"""`data.json`: description of the feature set of a run."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from pipeline.core.files import write_json
from pipeline.core.stream_names import DYNAMIC, STATIC
from pipeline.core.traits import TRAITS, TraitLabel, trait_names_fault
from pipeline.records.typed_json import read_record


@dataclass(frozen=True, kw_only=True, slots=True)
class DataWarning:
    """Warning that a feature set may be damaged."""

    title: str
    """Short name of the fault."""

    detail: str
    """Place of the fault, value at this place, and fix."""

    def __str__(self) -> str:
        return f"{self.title}. {self.detail}"


@dataclass(frozen=True, kw_only=True)
class DataDescription:
    """Content of `data.json`."""

    digest: str
    """SHA-256 of the training data."""
    num_clips: int
    streams: dict[str, list[int]]
    """Name and shape of each stream, in the order of the model inputs."""
    sources: list[str]
    """Paths of the files in the feature set."""
    encoder: Any = "unknown"
    """Encoder of the features: a name, or a mapping that describes the encoder."""
    settings: Any = None
    """Settings of the extraction; None if another program extracted the features."""
    traits: tuple[TraitLabel, ...] = ()
    """Meaning of the scores of each trait; empty for the OCEAN traits if unknown."""
    warnings: tuple[DataWarning, ...] = ()
    """Warnings about features or names that may be damaged."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_early_version(cls, content: Any) -> Any:
        # Early versions had the entries `static_shape` and `dynamic_shape`.
        early = {name: f"{name}_shape" for name in (STATIC, DYNAMIC)}
        if not isinstance(content, dict) or not all(key in content for key in early.values()):
            return content
        rest = {key: value for key, value in content.items() if key not in early.values()}
        return {**rest, "streams": {name: content[key] for name, key in early.items()}}

    def __post_init__(self) -> None:
        if fault := trait_names_fault([trait.name for trait in self.traits]):
            raise ValueError(f"`traits` is not valid: {fault}")

    @property
    def trait_names(self) -> tuple[str, ...]:
        """Names of the traits, in the order of the scores."""
        return tuple(trait.name for trait in self.traits) or TRAITS

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file. If `traits` is empty, the key is left out."""
        content = dataclasses.asdict(self)
        if not self.traits:
            del content["traits"]
        return content


def write_data(path: Path, data: DataDescription) -> None:
    """Write `data.json` atomically."""
    write_json(path, data.to_json())


def read_data(path: Path) -> DataDescription:
    """Read `data.json`.

    Raises:
        PipelineError: If the file is missing or damaged.
    """
    return read_record(DataDescription, path)
