"""Writes a report as one HTML file that needs no other file and no network."""

import base64
import functools
import hashlib
import re
from pathlib import Path

import jinja2
import markupsafe

from pipeline.core.files import write_text
from pipeline.report.content import ReportContent
from pipeline.report.wording import listing

_TEMPLATE = "report.html.j2"
_SCRIPT = "report.js.j2"
_CODE = re.compile("`([^`]+)`")


def render_html(content: ReportContent) -> str:
    """Return the report as a whole HTML document.

    What comes from files is escaped, and the document forbids itself the network and every
    script but its own, which it knows by digest.
    """
    script = _environment().get_template(_SCRIPT).render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            report=content,
            script=markupsafe.Markup(script),  # noqa: S704 - a file of this package
            script_digest=f"sha256-{digest}",
        )
    )


def write_html(path: Path, content: ReportContent) -> None:
    """Write the report to `path`, atomically."""
    write_text(path, render_html(content))


def _prose(text: str) -> markupsafe.Markup:
    """Return escaped text in which `words in backticks` are set as code."""
    return markupsafe.Markup(_CODE.sub(r"<code>\1</code>", str(markupsafe.escape(text))))  # noqa: S704


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"listing": listing, "prose": _prose}
    return environment
