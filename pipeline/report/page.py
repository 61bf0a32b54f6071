"""HTML page of the report: one file that works without other files and without a network."""

import base64
import functools
import hashlib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Final

import jinja2
import markupsafe

from pipeline.core.files import write_text
from pipeline.report import tables
from pipeline.report.caveats import find_caveats
from pipeline.report.headline import headline, interval_bars
from pipeline.report.images import (
    KEY_FIGURES,
    TIME_FOLDER,
    Image,
    MissingImage,
    build_chapters,
    titles_by_reason,
)
from pipeline.report.loading import CONFIG_FILE, RunRecords
from pipeline.report.model_card import BIAS_SOURCES, model_card
from pipeline.report.summary import summarize
from pipeline.report.wording import listing

_TEMPLATE: Final = "report.html.j2"
_SCRIPT: Final = "report.js.j2"
_CODE: Final = re.compile("`([^`]+)`")


def write_page(
    path: Path,
    records: RunRecords,
    *,
    images: Iterable[Image] = (),
    missing_images: Iterable[MissingImage] = (),
    problems: Iterable[str] = (),
) -> None:
    """Write the report of a run as one HTML file, atomically.

    All text from files is escaped, and sections without records are omitted. A security policy in
    the page blocks network access. The policy also blocks all scripts except the page script.

    `problems` lists missing or damaged files that `records.problems` does not contain, one line per
    file.
    """
    missing = tuple(missing_images)
    faults = titles_by_reason(image for image in missing if image.is_fault)
    not_drawn = [f"{reason} Not drawn: {listing(titles)}." for reason, titles in faults.items()]
    images = tuple(images)
    key_images = [image for name in KEY_FIGURES for image in images if image.name == name]
    chapters = build_chapters([image for image in images if image not in key_images], missing)
    evaluation, config = records.evaluation, records.config
    script = _environment().get_template(_SCRIPT).render()
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    page = _environment().get_template(_TEMPLATE)
    text = page.render(
        title=next(part.name for part in (config, records.summary, records) if part is not None),
        run_name=records.name,
        description=" ".join(config.description.split()) if config is not None else "",
        headline=headline(evaluation, is_ridge=records.is_ridge),
        summary=summarize(records),
        interval_bars=interval_bars(evaluation) if evaluation is not None else (),
        interval_name=evaluation.interval_name if evaluation is not None else "",
        problems=tuple(dict.fromkeys((*records.problems, *problems, *not_drawn))),
        caveats=find_caveats(records),
        splits=tables.split_tables(records),
        key_images=key_images,
        scores=tables.score_tables(records),
        baselines=tables.baseline_tables(evaluation),
        streams=tables.stream_tables(evaluation),
        subgroups=tables.subgroup_tables(evaluation),
        chapters=[chapter for chapter in chapters if chapter.folder != TIME_FOLDER],
        time_chapters=[chapter for chapter in chapters if chapter.folder == TIME_FOLDER],
        times=tables.time_tables(records.time_logs),
        recommendations=records.recommendations,
        card=model_card(records),
        sources=BIAS_SOURCES,
        configuration=tables.config_tables(config),
        environment=tables.environment_tables(records),
        commands=commands(records),
        script=markupsafe.Markup(script),  # noqa: S704 - the script is a file of this package
        script_hash=f"sha256-{script_hash}",
    )
    write_text(path, text)


def commands(records: RunRecords) -> dict[str, tuple[str, ...]]:
    """Return the commands that repeat the run: heading -> command lines."""
    environment = records.environment
    if environment is None:
        return {}
    checkout = (f"git checkout {environment.git.commit}",) if environment.git.commit else ()
    program, _, rest = environment.command.partition(" ")
    command = environment.command
    if PurePath(program).name == "__main__.py":  # sys.argv[0] of `python -m pipeline`
        command = f"python -m pipeline {rest}".rstrip()
    found = {"Original command": (*checkout, command)}
    if records.config is not None:
        config = shlex.quote(str(PurePath(records.directory, CONFIG_FILE)))
        again = f"python -m pipeline train --config {config}"
        found["From the configuration of the run"] = (*checkout, again)
    return found


def _prose(text: str) -> markupsafe.Markup:
    """Escape HTML and format `words in backticks` as code."""
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
