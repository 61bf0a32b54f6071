"""One theme for every figure: two sizes of it, and a colour for everything that recurs.

The colours are those of Okabe & Ito (2008, https://jfly.uni-koeln.de/color), which people
with any of the common colour-vision deficiencies tell apart. A trait has the same colour
in every figure; training is dashed and grey, validation solid and black.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import matplotlib as mpl
from matplotlib.figure import Figure

TRAIT_COLOURS: Final[Mapping[str, str]] = {
    "openness": "#0072B2",
    "conscientiousness": "#E69F00",
    "extraversion": "#D55E00",
    "agreeableness": "#009E73",
    "neuroticism": "#CC79A7",
}
"""Colour of each trait."""

TRAIN_COLOUR: Final = "#767676"
"""Training values: grey, and dashed where they are lines."""

VALIDATION_COLOUR: Final = "#000000"
"""Values on held-out clips."""

ACCENT: Final = "#0072B2"
"""What a figure wants seen first where neither traits nor splits colour it."""

ACCENTS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Colours of further series, in the order in which they are taken."""

WARNING_COLOUR: Final = "#D55E00"
"""Outliers, thresholds, and what is out of the ordinary."""

MUTED: Final = "#8C8C8C"
"""Reference lines and remarks."""

PALE: Final = "#D9D9D9"
"""Fills that must not draw the eye."""

SEQUENTIAL: Final = "cividis"
"""Colour map of amounts; even in lightness, and safe for colour-blind readers."""

DIVERGING: Final = "RdBu_r"
"""Colour map of signed values; blue is negative, white zero, red positive."""

# matplotlib keeps its settings and its font caches in global state. Drawing is short and
# holds the interpreter lock anyway, so threads take turns.
_LOCK = threading.RLock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """One size of the theme."""

    name: str
    """Name of the style, as the command line gives it."""
    column_width: float
    """Width of a figure with one panel, in inches."""
    full_width: float
    """Width of a figure with panels side by side, in inches."""
    font_size: float
    """Size of all text but the figure's title, in points."""
    line_width: float
    """Width of a curve, in points."""
    dpi: int
    """Pixels an inch of bitmaps."""
    has_title: bool
    """Whether the figure carries its title; in a paper the caption does."""

    @property
    def em(self) -> float:
        """The font size in inches: the unit of all margins."""
        return self.font_size / 72

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Draw in this style inside the block; one thread at a time, and none is left changed."""
        with _LOCK, mpl.rc_context(self._settings()):
            yield

    def _settings(self) -> dict[Any, Any]:
        small = self.font_size * 0.9
        return {
            **_THEME,
            "font.size": self.font_size,
            "axes.titlesize": self.font_size,
            "axes.labelsize": self.font_size,
            "xtick.labelsize": small,
            "ytick.labelsize": small,
            "legend.fontsize": small,
            "lines.linewidth": self.line_width,
            "lines.markersize": self.font_size * 0.45,
            "axes.linewidth": self.line_width * 0.5,
            "grid.linewidth": self.line_width * 0.4,
            "savefig.dpi": self.dpi,
            "figure.dpi": self.dpi,
        }


_THEME: Final[Mapping[str, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "text.color": "#222222",
    "axes.labelcolor": "#222222",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.edgecolor": "#666666",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # searching for room above the ticks costs a seventh of all drawing
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.xmargin": 0.02,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": "#E3E3E3",
    "xtick.direction": "out",
    "ytick.direction": "out",
    "legend.frameon": False,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
    "agg.path.chunksize": 10_000,
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "ocean",  # the same figure gives the same file
    "pdf.fonttype": 42,  # journals refuse Type 3 fonts
}

SCREEN: Final = Style(
    name="screen",
    column_width=6.4,
    full_width=10.0,
    font_size=10.0,
    line_width=1.6,
    dpi=110,
    has_title=True,
)
"""For reports and web pages."""

PAPER: Final = Style(
    name="paper",
    column_width=3.5,
    full_width=7.0,
    font_size=8.0,
    line_width=1.2,
    dpi=300,
    has_title=False,
)
"""For publications: the widths of one and of two columns, no titles."""

STYLES: Final[Mapping[str, Style]] = {style.name: style for style in (SCREEN, PAPER)}
"""The styles by name."""

Data_contra = TypeVar("Data_contra", contravariant=True)


class Draw(Protocol[Data_contra]):
    """A function that turns the numbers of a figure into ink."""

    def __call__(self, data: Data_contra, style: Style = SCREEN) -> Figure:
        """Return the figure."""
        ...


def styled(draw: Callable[[Data_contra, Style], Figure]) -> Draw[Data_contra]:
    """Let a drawing function `draw(data, style)` run in its style; `SCREEN` unless given."""

    @functools.wraps(draw)
    def draw_in_style(data: Data_contra, style: Style = SCREEN) -> Figure:
        with style.applied():
            return draw(data, style)

    return draw_in_style
