"""Style of all figures: sizes, fonts and colours.

The colours are from Okabe & Ito (2008, https://jfly.uni-koeln.de/color). People with common
colour-vision deficiencies can distinguish these colours. Each trait has the same colour in all
figures. Training curves are grey and dashed. Validation curves are black and solid.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

_OCEAN_COLOURS: Final[Mapping[str, str]] = {
    "openness": "#0072B2",
    "conscientiousness": "#E69F00",
    "extraversion": "#D55E00",
    "agreeableness": "#009E73",
    "neuroticism": "#CC79A7",
}

_OTHER_COLOURS: Final = ("#56B4E9", "#F0E442")
"""Colours of Okabe & Ito that no OCEAN trait has."""

TRAIN_COLOUR: Final = "#767676"
VALIDATION_COLOUR: Final = "#000000"

ACCENT: Final = "#0072B2"
"""Main colour of figures that show neither traits nor subsets."""

ACCENTS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Colours of figures with several series: the first series has the first colour."""

WARNING_COLOUR: Final = "#D55E00"
"""Colour of outliers and thresholds."""

MUTED: Final = "#8C8C8C"
"""Colour of reference lines and notes."""

PALE: Final = "#D9D9D9"
"""Colour of background fills."""

SEQUENTIAL: Final = "cividis"
"""Perceptually uniform colour map for non-negative values, safe for colour-blind readers."""

DIVERGING: Final = "RdBu_r"
"""Colour map for signed values: negative is blue, zero is white, and positive is red."""


def trait_colours(trait_names: Sequence[str]) -> list[str]:
    """Return one colour per trait.

    The OCEAN traits always have the same colours. The other traits have the free colours of the
    palette in order, and then shades.
    """
    known = [name for name in trait_names if name in _OCEAN_COLOURS]
    used = {_OCEAN_COLOURS[name] for name in known}
    free = [c for c in (*_OCEAN_COLOURS.values(), *_OTHER_COLOURS) if c not in used]
    num_shades = max(0, len(trait_names) - len(known) - len(free))
    shades = mpl.colormaps[SEQUENTIAL](np.linspace(0.0, 0.9, num_shades))
    others = iter([*free, *map(mpl.colors.to_hex, shades)])
    return [_OCEAN_COLOURS.get(name) or next(others) for name in trait_names]


# Matplotlib has global settings and font caches, so only one thread may draw at a time.
_LOCK = threading.RLock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """Sizes of figures, text and lines for one medium, for example paper."""

    name: str
    column_width: float
    """Width of a figure with one panel, in inches."""
    full_width: float
    """Width of a figure with panels side by side, in inches."""
    font_size: float
    """Size of all text except the figure title, in points."""
    line_width: float
    """Width of a curve, in points."""
    dpi: int
    """Resolution of bitmaps, in pixels per inch."""
    has_title: bool
    """True if figures have a title. In a paper, the caption replaces the title."""

    @property
    def em(self) -> float:
        """Font size in inches. It is the unit of all margins."""
        return self.font_size / 72

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Apply this style in a `with` block. Other threads wait until the block ends."""
        small = self.font_size * 0.9
        settings: dict[Any, Any] = {
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
        with _LOCK, mpl.rc_context(settings):
            yield


_THEME: Final[Mapping[str, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # every installation of matplotlib includes this font
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
    "axes.titley": 1.0,  # automatic placement of titles would slow down drawing
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
    "svg.fonttype": "path",  # text is stored as paths, so no font is needed
    "svg.hashsalt": "ocean",  # a fixed value makes the files reproducible
    "pdf.fonttype": 42,  # journals do not accept Type 3 fonts
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
"""Style for reports and web pages."""

PAPER: Final = Style(
    name="paper",
    column_width=3.5,
    full_width=7.0,
    font_size=8.0,
    line_width=1.2,
    dpi=300,
    has_title=False,
)
"""Style for publications, without titles, because the caption of a paper replaces the title.

Figures are as wide as one or two text columns."""

STYLES: Final[Mapping[str, Style]] = {style.name: style for style in (SCREEN, PAPER)}
"""Style name -> style."""


def styled(draw: Callable[[Any, Style], Figure]) -> Callable[..., Figure]:
    """Wrap `draw` so that its argument `style` applies during the call; the default is `SCREEN`."""

    @functools.wraps(draw)
    def draw_in_style(data: Any, style: Style = SCREEN) -> Figure:
        with style.applied():
            return draw(data, style)

    return draw_in_style
