"""Tables of a summary over runs: Markdown and LaTeX for a paper, and CSV with all values."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd

from pipeline.core.number_format import (
    METRIC_NAMES,
    count,
    metric_differences,
    metric_value,
    percent,
)
from pipeline.evaluation.run_summary import RunSet, RunSummary
from pipeline.metrics.regression import METRICS
from pipeline.records.evaluation import Interval

FORMATS: Final = ("csv", "md", "tex")
"""Suffixes of the files of a summary."""

_LATEX: Final = str.maketrans(
    {
        **{character: rf"\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\N{MINUS SIGN}": "$-$",
        "\N{PLUS-MINUS SIGN}": r"$\pm$",
        "\N{SUPERSCRIPT TWO}": "$^2$",
        "\N{NO-BREAK SPACE}": "~",
    }
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows of the table for one set of runs, or for the difference between two sets."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    """Cells of each row: metric, mean over the traits, its interval, and one cell per trait."""


def render(summary: RunSummary, suffix: str) -> str:
    """Return the table of a summary as text in the format `csv`, `md` or `tex`.

    The table has one row per metric. The CSV table has one row per metric and trait, and contains
    the values without rounding.
    """
    if suffix == "csv":
        return str(_frame(summary).to_csv(index=False, lineterminator="\n"))
    return (
        _environment()
        .get_template(f"summary.{suffix}.j2")
        .render(
            header=("metric", "mean over traits", _interval_name(summary), *summary.trait_names),
            blocks=build_blocks(summary),
            caption=caption(summary),
            split=summary.split,
        )
    )


def build_blocks(summary: RunSummary) -> tuple[Block, ...]:
    """Return the rows of the table, with rounded values."""
    blocks = [_block(summary.runs, summary.trait_names, "A" if summary.against else "")]
    if summary.against is not None and summary.differences is not None:
        blocks.append(_block(summary.against, summary.trait_names, "B"))
        rows = tuple(
            _difference_row(metric, summary.differences[metric], summary.trait_names)
            for metric in METRICS
        )
        blocks.append(Block(title="A minus B", rows=rows))
    return tuple(blocks)


def caption(summary: RunSummary) -> str:
    """Describe the values of the table: runs, clips, groups, standard deviation and intervals."""
    runs, against = summary.runs, summary.against
    number = describe_runs(runs)
    if against is not None:
        number = f"{number} of A and {describe_runs(against)} of B"
    sentences = [
        f"Mean and standard deviation over {number} on {summary.clips}.",
    ]
    sentences.append(
        f"{_interval_name(summary)}s of the means are from a cluster bootstrap: "
        f"{count(summary.num_resamples, 'resample')} of whole groups, the same for all runs."
    )
    if not summary.is_common_split:
        sentences.append(
            "The standard deviation contains the variation over splits and seeds. The intervals do "
            "not contain the variation over sets of training clips."
        )
    if against is not None:
        variation = "over clips and over runs" if summary.covers_runs else "over clips"
        sentences.append(
            f"Intervals of the differences are paired and contain the variation {variation}. An "
            "asterisk marks a difference of a trait whose interval excludes 0, without correction "
            "for the number of traits and metrics."
        )
    return " ".join(sentences)


def describe_runs(runs: RunSet) -> str:
    """Return the number of runs and their seeds, e.g. `3 runs (seeds 0, 1, 2)`."""
    seeds = sorted(set(runs.seeds))
    text = count(len(runs.names), "run")
    if not seeds:
        return text
    return f"{text} ({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))})"


def headline(summary: RunSummary, metric: str) -> str:
    """Return the mean over the traits of one metric, ready for a sentence in a paper."""
    name, interval = METRIC_NAMES[metric], summary.runs.means[metric]["mean"]
    text = f"{name} {_with_deviation(summary.runs, metric, 'mean')}"
    if not interval.exists:
        return text
    return f"{text}, {_interval_name(summary)} {_limits(metric, interval)}"


def _block(runs: RunSet, trait_names: tuple[str, ...], label: str) -> Block:
    first, *others = runs.names
    names = f"{first} and {len(others)} others" if len(others) > 3 else ", ".join(runs.names)
    rows = tuple(
        (
            METRIC_NAMES[metric],
            _with_deviation(runs, metric, "mean"),
            _limits(metric, runs.means[metric]["mean"]),
            *(_with_deviation(runs, metric, name) for name in trait_names),
        )
        for metric in METRICS
    )
    return Block(title=f"{label}: {names}" if label else names, rows=rows)


def _with_deviation(runs: RunSet, metric: str, name: str) -> str:
    """Return mean and standard deviation, e.g. `0.912 ± 0.002`; without the latter for one run."""
    mean = metric_value(metric, runs.means[metric][name].value)
    deviation = runs.deviations[metric][name]
    return mean if math.isnan(deviation) else f"{mean} ± {metric_value(metric, deviation)}"


def _limits(metric: str, interval: Interval) -> str:
    if not interval.exists:
        return "-"
    return f"[{metric_value(metric, interval.low)}, {metric_value(metric, interval.high)}]"


def _difference_row(
    metric: str, differences: Mapping[str, Interval], trait_names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the cells of the differences in one metric, with equal numbers of decimals."""
    mean = differences["mean"]
    traits = [differences[name] for name in trait_names]
    ends = (mean.low, mean.high) if mean.exists else ()
    values = (mean.value, *(each.value for each in traits), *ends)
    first, *texts = map(_plus, metric_differences(metric, *values))
    interval = f"[{', '.join(texts[len(traits) :])}]" if ends else "-"
    marked = (text + "*" * each.excludes_zero for text, each in zip(texts, traits, strict=False))
    return (METRIC_NAMES[metric], first, interval, *marked)


def _plus(text: str) -> str:
    """Add a plus sign to a positive number."""
    is_positive = text[0].isdigit() and text.strip("0.")
    return f"+{text}" if is_positive else text


def _interval_name(summary: RunSummary) -> str:
    return f"{percent(summary.confidence)} interval"


def _frame(summary: RunSummary) -> pd.DataFrame:
    """Return one row per set of runs, metric and trait. Differences have no deviation."""
    parts: list[tuple[str, Any, Any]] = [
        (name, part.means, part)
        for name, part in (("runs", summary.runs), ("against", summary.against))
        if part is not None
    ]
    if summary.differences is not None:
        parts.append(("difference", summary.differences, None))
    return pd.DataFrame(
        [
            {
                "part": name,
                "split": summary.split,
                "metric": metric,
                "trait": trait,
                "mean": interval.value,
                "standard_deviation": part.deviations[metric][trait] if part else math.nan,
                "low": interval.low,
                "high": interval.high,
                "num_runs": len(part.names) if part else None,
                "num_clips": summary.num_clips,
                "num_groups": summary.num_groups,
            }
            for name, intervals, part in parts
            for metric, traits in intervals.items()
            for trait, interval in traits.items()
        ]
    ).astype({"num_runs": "Int64"})


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701 - the output is not HTML
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # LaTeX has many braces and percent signs.
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
    )
    environment.filters["latex"] = lambda text: str(text).translate(_LATEX)
    environment.filters["pipes"] = lambda text: str(text).replace("|", r"\|")
    return environment
