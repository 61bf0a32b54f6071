"""The figures of a report: their bytes, and their places in its chapters."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.core.errors import PipelineError

MEDIA_TYPES: Final[Mapping[str, str]] = {"png": "image/png", "svg": "image/svg+xml"}
"""Suffix of a file that a browser shows -> its media type."""

_HALF_PAGE_PX: Final = 800
"""Widest picture that is still readable at half the width of a page."""

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One figure as a browser shows it, and as words for those who do not see it.

    Raises:
        PipelineError: If the bytes are not a whole picture of the media type.
    """

    name: str
    """Name of the figure; unique in a report."""
    folder: str
    """Folder in the run directory; decides the chapter."""
    title: str
    """Title, a few words."""
    caption: str
    """What is shown and how to read it."""
    alt_text: str
    """One sentence that stands in for the picture."""
    media_type: str
    """One of the values of `MEDIA_TYPES`."""
    data: bytes
    """Content of the file."""

    def __post_init__(self) -> None:
        if self.media_type not in MEDIA_TYPES.values():
            raise PipelineError(
                f"{self.name}: {self.media_type} cannot stand in a report; "
                f"give one of {', '.join(MEDIA_TYPES.values())}."
            )
        if not self._is_whole:
            raise PipelineError(
                f"{self.name}: is cut off or not {self.media_type}. Draw the figure again."
            )

    @property
    def size_px(self) -> tuple[int, int] | None:
        """Width and height in pixels; None for a drawing that has none of its own."""
        if self.media_type != MEDIA_TYPES["png"]:
            return None
        return int.from_bytes(self.data[16:20]), int.from_bytes(self.data[20:24])

    @property
    def is_wide(self) -> bool:
        """Whether it needs the full width of a page to be read."""
        size = self.size_px
        return size is None or size[0] > _HALF_PAGE_PX

    @property
    def uri(self) -> str:
        """The picture as a data URI, so that the page needs no other file."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode('ascii')}"

    @property
    def _is_whole(self) -> bool:
        if self.media_type == MEDIA_TYPES["png"]:
            return self.data.startswith(_PNG_SIGNATURE) and _ends_png(self.data)
        return b"<svg" in self.data and self.data.rstrip().endswith(b"</svg>")


def _ends_png(data: bytes) -> bool:
    """Return whether the last chunk is IEND with its checksum: what a cut file lacks first."""
    end = b"IEND"
    return data.endswith(end + binascii.crc32(end).to_bytes(4))


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingPicture:
    """A figure that could not be drawn."""

    folder: str
    """Folder in the run directory where it would be."""
    title: str
    """What it would have shown, a few words."""
    reason: str
    """Why it is missing, one line."""
    is_fault: bool = False
    """Whether records are damaged; False where the run just has nothing to show there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """The figures of one folder."""

    folder: str
    """Folder in the run directory."""
    anchor: str
    """Name of the chapter in links."""
    title: str
    pictures: tuple[Picture, ...]
    missing: tuple[MissingPicture, ...]

    @property
    def reasons(self) -> dict[str, list[str]]:
        """Why figures are missing -> their titles."""
        return titles_by_reason(self.missing)


def titles_by_reason(missing: Iterable[MissingPicture]) -> dict[str, list[str]]:
    """Return why figures are missing -> the titles of those that are missing for it."""
    titles: dict[str, list[str]] = {}
    for picture in missing:
        titles.setdefault(picture.reason, []).append(picture.title)
    return titles


TIME_FOLDER: Final = "training_time_analysis"
"""Folder of the figures that stand beside the measured times."""

_TITLES: Final[Mapping[str, str]] = {
    "training_visualizations": "Training and traits",
    "attention_visualizations": "Attention",
    TIME_FOLDER: "Time",
    "comparison": "Comparison",
}


def chapters(
    pictures: tuple[Picture, ...], missing: tuple[MissingPicture, ...]
) -> tuple[Chapter, ...]:
    """Return the figures by folder, folders in the order of their first figure."""
    folders = dict.fromkeys(
        [picture.folder for picture in pictures] + [picture.folder for picture in missing]
    )
    return tuple(
        Chapter(
            folder=folder,
            anchor=f"figures-{number}",
            title=_TITLES.get(folder, folder.replace("_", " ").capitalize()),
            pictures=tuple(picture for picture in pictures if picture.folder == folder),
            missing=tuple(picture for picture in missing if picture.folder == folder),
        )
        for number, folder in enumerate(folders, start=1)
    )
