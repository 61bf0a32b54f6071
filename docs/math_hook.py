"""Hook of MkDocs: convert equations to MathML, so that the pages load no script from a server."""

import html
import re
from typing import Any

from math_core import LatexToMathML

_EQUATION = re.compile(
    r'<(?P<tag>div|span) class="arithmatex">\\[(\[](?P<latex>.+?)\\[)\]]</(?P=tag)>', re.DOTALL
)
_CONVERTER = LatexToMathML()


def on_page_content(content: str, **_: Any) -> str:
    """Return the HTML of a page with MathML in place of LaTeX."""
    return _EQUATION.sub(_convert, content)


def _convert(match: re.Match[str]) -> str:
    latex = html.unescape(match["latex"])
    return _CONVERTER.convert_with_local_state(latex, displaystyle=match["tag"] == "div")
