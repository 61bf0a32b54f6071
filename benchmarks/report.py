"""Write `results.json` and `RESULTS.md`, or print the table in a terminal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.reasons import REASONS
from benchmarks.rows import Result, Row, find_row
from benchmarks.timing import spread

RESULTS_DIR: Final = Path(__file__).parent

_HOW: Final = """\
All rows are measured in one run. The rival and the pipeline alternate. A value is the median over \
the repeats of ours divided by the rival's, and the spread is its minimum and maximum. The rivals \
are the scripts in [rivals/](rivals); [measure/](measure) describes how each row is measured."""
_NO_REASON: Final = "No reason is given yet."


def to_json(
    results: Sequence[Result], machine: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    """Return the results as plain values."""
    return {
        "machine": dict(machine),
        "seconds": round(seconds),
        "rows": [
            {
                "key": result.row.key,
                "ours": [_rounded(value) for value in result.ours],
                "rival": [_rounded(value) for value in result.rival],
                "note": result.note,
                "failure": result.failure,
                "median": _rounded(result.spread.median),
                "low": _rounded(result.spread.low),
                "high": _rounded(result.spread.high),
                "goal": result.row.goal,
                "is_reached": result.is_reached,
            }
            for result in results
        ],
    }


def write_results(content: Mapping[str, Any], directory: Path) -> None:
    """Write `results.json` and `RESULTS.md` to a directory."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    (directory / "results.json").write_text(f"{text}\n", "utf-8")
    write_markdown(directory)


def write_markdown(directory: Path) -> None:
    """Write `RESULTS.md` from `results.json`, for instance after a change of the reasons."""
    content = json.loads((directory / "results.json").read_text("utf-8"))
    (directory / "RESULTS.md").write_text(to_markdown(content), "utf-8")


def to_markdown(content: Mapping[str, Any], reasons: Mapping[str, str] = REASONS) -> str:
    """Return the text of `RESULTS.md` for the content of `results.json`."""
    results = [_result(entry) for entry in content["rows"]]
    parts = ["# Speed and memory", *_description(content), _HOW, table(results)]
    missed = [result for result in results if not result.is_reached]
    if missed:
        lines = [
            f"- **{_sentence_case(result.row.what)}** ({result.row.key}): "
            + " ".join(filter(None, (result.failure, reasons.get(result.row.key, _NO_REASON))))
            for result in missed
        ]
        parts += ["## Rows that miss their goal", "\n".join(lines)]
    notes = [f"- `{result.row.key}`: {result.note}" for result in results if result.note]
    if notes:
        parts += ["## Notes", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def table(results: Sequence[Result]) -> str:
    """Return a Markdown table with one line per row."""
    lines = [
        "| what | rival | ours | rival's | value | spread | repeats | goal | reached |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_cells(result))} |" for result in results]
    return "\n".join(lines)


def missed_without_reason(
    content: Mapping[str, Any], reasons: Mapping[str, str] = REASONS
) -> list[str]:
    """Return the keys of the rows that miss their goal and have no reason."""
    return [
        entry["key"]
        for entry in content["rows"]
        if not _result(entry).is_reached and not reasons.get(entry["key"], "").strip()
    ]


def _cells(result: Result) -> tuple[str, ...]:
    row, values = result.row, result.spread
    return (
        row.what,
        row.rival or "–",
        f"{_middle(result.ours)} {row.unit}",
        f"{_middle(result.rival)} {row.unit}" if result.rival else "–",
        _value(row, values.median),
        f"{_number(values.low)} – {_number(values.high)}",
        str(len(result.ours)),
        f"{'≥' if row.is_minimum else '≤'} {_value(row, row.goal)}",
        "yes" if result.is_reached else "**no**",
    )


def _description(content: Mapping[str, Any]) -> list[str]:
    machine = content["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    commit = f"`{machine['commit'][:12]}`"
    if machine["is_dirty"]:
        commit += " with uncommitted changes"
    command = f"`{machine['command']}`, {content['seconds'] / 60:.1f} minutes"
    size = f"{machine['num_cores']} cores, {machine['memory_gb']} GB, {machine['platform']}"
    lines = (
        f"- Command: {command}, on {machine['date']}. Commit: {commit}.",
        f"- Machine: {machine['cpu']}, {size}.",
        f"- Load average at the start: {machine['load_average']}.",
        f"- Versions: Python {machine['python']}, {versions}.",
    )
    return ["\n".join(lines)]


def _result(entry: Mapping[str, Any]) -> Result:
    names = ("ours", "rival", "note", "failure")
    return Result(row=find_row(entry["key"]), **{name: entry[name] for name in names})


def _value(row: Row, value: float) -> str:
    if row.kind == "ratio":
        return f"{_number(value)} ×"
    return f"{'+ ' if row.kind == 'extra_seconds' else ''}{_number(value)} s"


def _middle(values: Sequence[float]) -> str:
    return _number(spread(values).median)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]
