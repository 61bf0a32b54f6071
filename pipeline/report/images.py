"""Images of a report, grouped in chapters."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.core.number_format import count

MEDIA_TYPES: Final[Mapping[str, str]] = {"png": "image/png", "svg": "image/svg+xml"}
"""File suffix -> media type, for the image formats that browsers can show."""

TIME_FOLDER: Final = "training_time_analysis"
"""Folder of the figures about training time."""

FIGURE_FOLDERS: Final = ("training_visualizations", "attention_visualizations", TIME_FOLDER)
"""Figure folders of a run directory."""

_TITLES: Final[Mapping[str, str]] = {
    "training_visualizations": "Training and traits",
    "attention_visualizations": "Attention",
    TIME_FOLDER: "Time",
}

KEY_FIGURES: Final = (
    *("scores_and_baselines", "predictions_vs_truth"),
    *("training_dashboard", "attention_faithfulness"),
)
"""Names of the figures that are always visible in the report. The others are in folded parts."""

_HALF_PAGE_PX: Final = 800
"""Maximum width of an image that is shown in half the page width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """Image of one figure, with title, caption and alternative text."""

    name: str
    """Name of the figure."""
    folder: str
    title: str
    caption: str
    alt_text: str
    """One sentence for readers who cannot see the image."""
    media_type: str
    """One of the values of `MEDIA_TYPES`."""
    data: bytes

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height in pixels; None for SVG."""
        if self.media_type != MEDIA_TYPES["png"]:
            return None
        return int.from_bytes(self.data[16:20]), int.from_bytes(self.data[20:24])

    @property
    def is_wide(self) -> bool:
        """True if the image needs the full page width."""
        size = self.size_px
        return size is None or size[0] > _HALF_PAGE_PX

    @property
    def uri(self) -> str:
        """Data URI, which embeds the image in the page."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingImage:
    """Figure that could not be drawn."""

    folder: str
    title: str
    reason: str
    is_fault: bool = False
    """True if a record is damaged. False if the run has no data for this figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """Figures from one folder."""

    folder: str
    anchor: str
    """HTML id of the chapter."""
    title: str
    images: tuple[Image, ...]
    missing: dict[str, list[str]]
    """Reason -> titles of the missing figures."""

    @property
    def hint(self) -> str:
        """Number of figures, for the heading of the folded chapter."""
        drawn, missing = len(self.images), sum(map(len, self.missing.values()))
        counts = [count(drawn, "figure")] if drawn or not missing else []
        return ", ".join(counts + [f"{missing} not drawn"] * bool(missing))


def titles_by_reason(missing: Iterable[MissingImage]) -> dict[str, list[str]]:
    """Group the titles of missing figures by reason."""
    titles: dict[str, list[str]] = {}
    for image in missing:
        titles.setdefault(image.reason, []).append(image.title)
    return titles


def build_chapters(images: Iterable[Image], missing: Iterable[MissingImage]) -> tuple[Chapter, ...]:
    """Group the figures by folder.

    The folders are in the order in which they first occur, first in `images`, then in `missing`.
    """
    images, missing = tuple(images), tuple(missing)
    folders = dict.fromkeys(
        [image.folder for image in images] + [image.folder for image in missing]
    )
    return tuple(
        Chapter(
            folder=folder,
            anchor=f"figures-{number}",
            title=_TITLES.get(folder, folder.replace("_", " ").capitalize()),
            images=tuple(image for image in images if image.folder == folder),
            missing=titles_by_reason(image for image in missing if image.folder == folder),
        )
        for number, folder in enumerate(folders, start=1)
    )
