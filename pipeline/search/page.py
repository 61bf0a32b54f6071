"""Write interactive figures into one HTML file that needs no server and no network."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from pipeline.core.files import write_text
from pipeline.figures.gallery import DrawnFigure, OmittedFigure

# MLflow shows HTML artifacts in a frame without network access, so the file includes plotly.js.
_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 1200px; margin: 0 auto; padding: 1rem; }}
h2 {{ margin: 2.5rem 0 0; }}
figure {{ margin: 0; overflow-x: auto; }}
</style>
<script>{plotly}</script>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
{figures}
{omitted}
</body>
</html>
"""


def write_page(
    path: Path,
    *,
    title: str,
    summary: str,
    figures: Sequence[tuple[DrawnFigure, Any]],
    omitted: Sequence[OmittedFigure],
) -> None:
    """Write the page atomically. `figures` contains pairs: a drawn figure and its plotly figure."""
    from plotly.offline import get_plotlyjs

    reasons = "".join(
        f"<li>{escape(each.spec.title)}: {escape(each.reason)}</li>\n" for each in omitted
    )
    page = _PAGE.format(
        title=escape(title),
        plotly=get_plotlyjs(),
        summary=escape(summary),
        figures="\n".join(_figure_html(drawn, plot) for drawn, plot in figures),
        omitted=f"<h2>Not drawn</h2>\n<ul>\n{reasons}</ul>" if omitted else "",
    )
    write_text(path, page)


def _figure_html(drawn: DrawnFigure, plot: Any) -> str:
    spec = drawn.spec
    plot.update_layout(
        title=None,
        width=None,  # plotly then uses the width of the page
        margin={"t": 30},
        template="plotly_white",
        font={"size": 13, "color": "#222"},
    )
    for update_axes in (plot.update_xaxes, plot.update_yaxes):
        update_axes(selector={"type": "log"}, dtick=1, exponentformat="power")
    html = plot.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=spec.name,  # by default, plotly uses a random id
        config={"responsive": True, "displaylogo": False},
    )
    return (
        f"<h2>{escape(spec.title)}</h2>\n<p>{escape(spec.caption)}</p>\n"
        f'<figure aria-label="{escape(drawn.alt_text)}">{html}</figure>'
    )
