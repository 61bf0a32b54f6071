"""Layout of figures: panels, axes, legends and heatmaps.

Because measuring text is slow, the margins are fixed. The unit of all margins is em, the font size
of the style. Therefore, the same layout fits every style.
"""

import math
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pipeline.core.arrays import FloatArray
from pipeline.core.number_format import decimal
from pipeline.figures.base.style import DIVERGING, MUTED, Style

LineStyle: TypeAlias = Literal["-", "--", ":", "none"]

_ROUND_INTEGERS: Final = (1, 2, 5, 10)
_ROUND: Final = (1, 2, 2.5, 5, 10)
_MAX_TICK_LETTERS: Final = 7
_MAX_WIDENINGS: Final = 60
_TITLE_EM: Final = 2.4
_SAMPLE_EM: Final = 1.5  # height of the line that replaces the title in a paper
_LEGEND_EM: Final = 1.9
_LETTER_EM: Final = 0.52  # mean width of a letter of DejaVu Sans
_HANDLE_EM: Final = 4.4  # width of a legend line with the space around the line
_NOTE_COLOUR: Final = "#555555"


def build_panels(
    style: Style,
    *,
    title: str,
    sample: str = "",
    num_panels: int = 1,
    columns: int | None = None,
    aspect: float = 0.6,
    width: Literal["column", "full"] = "full",
    legend: Sequence[Artist] = (),
    outer_left: float = 0.0,
    outer_right: float = 0.0,
    left: float = 6.2,
    right: float = 1.4,
    bottom: float = 3.8,
    top: float = 2.0,
) -> tuple[Figure, list[Axes]]:
    """Build a figure with a title, a legend, and a grid of panels of equal size.

    `columns` is None for a single row. `aspect` is the height of a panel divided by its width.
    `left`, `right`, `bottom` and `top` are the margins of each panel. `outer_left` and
    `outer_right` are the margins of the grid. All margins are in em. For `title` and `sample`, see
    `add_header`.

    Returns:
        Figure, and list of its panels, row by row. The last row can have fewer panels.
    """
    columns = columns or num_panels
    rows = math.ceil(num_panels / columns)
    em = style.em
    figure_width = style.full_width if width == "full" else style.column_width
    cell_width = (figure_width - (outer_left + outer_right) * em) / columns
    panel_width = cell_width - (left + right) * em
    panel_height = panel_width * aspect
    cell_height = panel_height + (top + bottom) * em
    height = rows * cell_height + header_em(style, legend, sample, width=figure_width) * em

    figure = Figure(figsize=(figure_width, height))
    FigureCanvasAgg(figure)
    axes = [
        figure.add_axes(
            (
                (panel % columns * cell_width + (outer_left + left) * em) / figure_width,
                ((rows - 1 - panel // columns) * cell_height + bottom * em) / height,
                panel_width / figure_width,
                panel_height / height,
            )
        )
        for panel in range(num_panels)
    ]
    for panel in axes:
        # Fixed positions align the axis labels of all panels. Automatic positions are slower.
        panel.xaxis.set_label_coords(0.5, -2.2 * em / panel_height)
        panel.yaxis.set_label_coords(-5.0 * em / panel_width, 0.5)
    add_header(figure, style, title=title, sample=sample, legend=legend)
    return figure, axes


def header_em(style: Style, legend: Sequence[Artist], sample: str, *, width: float) -> float:
    """Return the total height of title and legend in em. `width` is the figure width in inches."""
    return _title_em(style, sample) + _LEGEND_EM * _legend_rows(legend, width=width / style.em)


def add_header(
    figure: Figure, style: Style, *, title: str, sample: str, legend: Sequence[Artist]
) -> None:
    """Draw the title and the legend at the top of a figure.

    `sample` describes the clips, e.g. `80 validation clips`. It is the end of the title. If the
    style has no titles, only `sample` is drawn, so that each image names its clips.
    """
    width, height = figure.get_size_inches() / style.em
    if style.has_title:
        size = style.font_size * 1.15
        text = f"{title}, {sample}" if sample else title
        figure.text(1 / width, 1 - 0.7 / height, text, va="top", weight="bold", size=size)
    elif sample:
        text = sample[0].upper() + sample[1:]
        y = 1 - 0.4 / height
        figure.text(1 / width, y, text, va="top", size="small", color=_NOTE_COLOUR)
    if legend:
        figure.legend(
            handles=list(legend),
            loc="upper left",
            bbox_to_anchor=(0.8 / width, 1 - (_title_em(style, sample) + 0.2) / height),
            ncols=math.ceil(len(legend) / _legend_rows(legend, width=width)),
            borderaxespad=0.0,
            borderpad=0.2,
            columnspacing=1.6,
            handlelength=2.2,
        )


def describe_clips(num_clips: int, split: str) -> str:
    """Return the number and the split of the clips, e.g. `80 validation clips`."""
    if split == "all":
        return f"all {num_clips:,} clips"
    return f"{num_clips:,} {split} clips" if split else f"{num_clips:,} clips"


def line_handle(label: str, colour: str, linestyle: LineStyle = "-", marker: str = "") -> Line2D:
    """Return a legend entry."""
    return Line2D([], [], color=colour, linestyle=linestyle, marker=marker, label=label)


def set_ticks(axes: Axes, *, x: int = 6, y: int = 5, integer_x: bool = False) -> None:
    """Set the maximum number of tick intervals per axis.

    If `integer_x` is true, the x ticks are integers.
    """
    x_locator = MaxNLocator(
        x, steps=_ROUND_INTEGERS if integer_x else _ROUND, integer=integer_x, min_n_ticks=1
    )
    axes.xaxis.set_major_locator(x_locator)
    axes.yaxis.set_major_locator(MaxNLocator(y, steps=_ROUND))


def set_log_scale(axes: Axes, axis: Literal["x", "y"] = "y") -> None:
    """Set a logarithmic scale with decimal tick labels. The data must be drawn before the call."""
    if axis == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    decades = np.log10(high / low)
    subs = (1.0, 2.0, 3.0, 5.0, 7.0) if decades < 1 else (1.0, 2.0, 5.0) if decades < 3 else (1.0,)
    target = axes.xaxis if axis == "x" else axes.yaxis
    target.set_major_locator(LogLocator(subs=subs))
    target.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    target.set_minor_locator(NullLocator())


def set_value_axis(axes: Axes, label: str, *, is_log: bool) -> None:
    """Set label and scale of the y axis. The data must be drawn before the call."""
    if is_log:
        set_log_scale(axes)
    else:
        _keep_ticks_short(axes)
    axes.set_ylabel(f"{label} · log scale" if is_log else label)


def set_note(axes: Axes, text: str, colour: str = _NOTE_COLOUR) -> None:
    """Write a right-aligned note above a panel."""
    axes.set_title(text, loc="right", color=colour)


def point_style(num_points: int) -> dict[str, Any]:
    """Return plot options for points: smaller and paler markers for more than 400 points."""
    is_dense = num_points > 400
    return {
        "linestyle": "none",
        "marker": "." if is_dense else "o",
        "markersize": 3.5,
        "markeredgewidth": 0,
        "alpha": 0.4 if is_dense else 0.7,
        "rasterized": is_dense,
    }


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Label the rows of a horizontal bar chart, from top to bottom."""
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=_ROUND))


def names_em(names: Sequence[str]) -> float:
    """Return the width in em of a column that contains these names: 9 for the OCEAN traits."""
    return max(9.0, _LETTER_EM * max(map(len, names), default=0))


def panel_columns(num_panels: int) -> int:
    """Return the number of columns in a grid of panels: two or three."""
    return 2 if num_panels in (1, 2, 4) else 3


def hide_panel(axes: Axes, reason: str = "") -> None:
    """Hide the axes of a panel and write `reason` in its centre."""
    axes.set_axis_off()
    write_centred(axes, reason)


def write_centred(axes: Axes, text: str) -> None:
    """Write text in the centre of a panel, in front of the curves."""
    background = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    if text:
        axes.text(0.5, 0.5, text, color=MUTED, bbox=background, **place)


def draw_heatmap(
    axes: Axes,
    values: FloatArray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    is_wide: bool = False,
    has_bar: bool = False,
) -> None:
    """Draw a matrix of values in [-1, 1]. Cells with 0 are white, and cells with NaN are empty.

    All matrices have the same colour scale. If `has_bar` is true, a colour bar is drawn to the
    right of the panel. If `is_wide` is true, the cells fill the panel. Otherwise,
    the cells are squares.
    """
    image = axes.imshow(
        values, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto" if is_wide else "equal"
    )
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xticks(
        range(len(columns)), list(columns), rotation=45, ha="right", rotation_mode="anchor"
    )
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            is_dark = abs(value) > 0.6
            colour = "white" if is_dark else "#222222"
            text = decimal(float(value), 2)
            axes.text(column, row, text, ha="center", va="center", color=colour, size="small")
    if has_bar:
        bar_axes = axes.inset_axes((1.03 if is_wide else 1.08, 0.0, 0.02 if is_wide else 0.06, 1.0))
        bar = axes.figure.colorbar(image, cax=bar_axes, ticks=[-1, -0.5, 0, 0.5, 1])
        bar.outline.set_visible(False)
        bar_axes.set_yticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"])


def _title_em(style: Style, sample: str) -> float:
    if style.has_title:
        return _TITLE_EM
    return _SAMPLE_EM if sample else 0.0


def _keep_ticks_short(axes: Axes) -> None:
    # Nearly equal values cause long tick labels, so widen the y range.
    formatter = axes.yaxis.get_major_formatter()
    for _ in range(_MAX_WIDENINGS):
        labels = formatter.format_ticks(axes.yaxis.get_majorticklocs().tolist())
        if max(map(len, labels), default=0) <= _MAX_TICK_LETTERS:
            return
        low, high = axes.get_ylim()
        axes.set_ylim(low - (high - low) / 2, high + (high - low) / 2)


def _legend_rows(handles: Sequence[Artist], *, width: float) -> int:
    # Measuring text is slow, so estimate its width.
    needed = [_HANDLE_EM + _LETTER_EM * len(str(handle.get_label())) for handle in handles]
    for rows in range(1, len(handles)):
        columns = math.ceil(len(handles) / rows)
        widths = [
            max(needed[column * rows :][:rows])
            for column in range(columns)
            if column * rows < len(needed)
        ]
        if sum(widths) <= width - 1:
            return rows
    return len(handles)
