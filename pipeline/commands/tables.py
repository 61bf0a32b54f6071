"""Print the results of commands as lines and tables."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich.box
import rich.console
import rich.table

from pipeline.core.number_format import percent
from pipeline.core.traits import (
    TraitLabel,
    describe_ranges,
    describe_scores,
    label_ranges,
    short_names,
    was_rescaled,
)
from pipeline.data.groups import describe_groups
from pipeline.evaluation.comparison import Comparison
from pipeline.records.data_description import read_data
from pipeline.records.evaluation import EvaluationReport, Interval

if TYPE_CHECKING:
    from pipeline.data.feature_set import FeatureSet
    from pipeline.extraction.run import ExtractionOutcome
    from pipeline.figures.gallery import Gallery
    from pipeline.models.trainability import LayerState
    from pipeline.records.evaluation import Coverage, OriginalUnits
    from pipeline.search.figures import SearchFigures
    from pipeline.search.run import SearchOutcome
    from pipeline.workflows.predict import Prediction
    from pipeline.workflows.verify import Check
    from pipeline.workflows.visualize import Visualization

_DIGITS = 4
_MAX_LINES = 10
_MAX_WIDTH = 160


def print_line(text: str) -> None:
    """Print a text without automatic line breaks."""
    build_console().print(text, soft_wrap=True, highlight=False, markup=False)


def print_directions(traits: Sequence[TraitLabel]) -> None:
    """Print a note for each reverse-scored trait, and for rescaled annotations."""
    for sentence in describe_scores(traits):
        print_line(f"note: {sentence}")


def print_device() -> None:
    """Print the training device."""
    from pipeline.workflows.session import describe_device

    print_line(f"device: {describe_device()}")


def print_layers(layers: "Sequence[LayerState]", *, is_verbose: bool) -> None:
    """Print the frozen layers, if any, and the number of weights; with a table if verbose."""
    frozen = [layer.path for layer in layers if layer.is_frozen]
    if not frozen:
        return
    trainable, total = (
        sum(getattr(layer, name) for layer in layers) for name in ("trainable", "total")
    )
    print_line(f"frozen layers: {', '.join(frozen)}; {trainable:,} of {total:,} weights trained")
    if is_verbose:
        rows = {layer.path: (f"{layer.trainable:,}", f"{layer.total:,}") for layer in layers}
        build_console().print(_table("", ("trainable", "weights"), rows, first="layer"))


def print_scores(report: EvaluationReport) -> None:
    """Print tables of all scores: metrics, baselines, coverage of the intervals."""
    _print_report(report)


def print_subgroups(report: EvaluationReport) -> None:
    """Print one table of scores per column that defines subgroups."""
    for column, values in report.by.items():
        print_metrics(
            f"by {column}",
            {
                f"{value} ({part.num_clips}) {metric}": part.metrics[metric]
                for value, part in values.items()
                for metric in ("accuracy", "r2")
            },
        )


def print_prediction(prediction: "Prediction") -> None:
    """Print directions, units, the means of predictions and interval widths, and output paths."""
    table = prediction.table
    is_original = prediction.units == "original"
    ranges = label_ranges(prediction.traits) if is_original else {}
    print_directions(prediction.traits)
    if is_original and not was_rescaled(prediction.traits):
        print_line("note: the original range of the annotations is [0, 1], as for --units score")
    trait_names = prediction.trait_names
    scores = [table[trait] for trait in trait_names]
    widths = [table[f"{trait}_high"] - table[f"{trait}_low"] for trait in trait_names]
    rows = {}
    for name, columns in (
        ("score", scores),
        (f"width of the {percent(prediction.level)} interval", widths),
    ):
        means = [float(column.mean()) for column in columns]
        cells = [f"{value:.{_DIGITS}f}" for value in (sum(means) / len(means), *means)]
        # A mean over traits with different ranges has no unit.
        rows[name] = cells if len(set(ranges.values())) <= 1 else ["-", *cells[1:]]
    scale = describe_ranges(ranges) if is_original else "0 to 1"
    print_cells(f"mean over {len(table)} clips, on the scale {scale}", trait_names, rows)
    for failure in prediction.failures:
        print_line(f"not predicted: {failure}")
    print_line(f"predictions: {prediction.output}")
    if prediction.explanation is not None:
        print_line(f"attention: {prediction.explanation}")


def print_groups(features: "FeatureSet") -> None:
    """Print the numbers of clips and groups of a feature set."""
    num_groups = len(set(features.groups.tolist()))
    print_line(describe_groups(features.num_clips, num_groups, is_prepared=True))


def print_visualization(visualization: "Visualization") -> None:
    """Print the number of drawn figures, and the reason for each missing figure or report."""
    _print_figures(visualization.gallery, visualization.problems)
    print_line(f"report: {visualization.report_path}")


def print_search_figures(figures: "SearchFigures") -> None:
    """Print the number of drawn figures, and the reason for each missing figure."""
    faults = dict.fromkeys(fault.reason for fault in figures.gallery.faults)
    _print_figures(figures.gallery, faults)
    if figures.page_path is not None:
        print_line(f"interactive figures: {figures.page_path}")


def _print_figures(gallery: "Gallery", problems: Iterable[str]) -> None:
    for omitted in gallery.omitted:
        if not omitted.is_fault:
            print_line(f"not drawn: {omitted.spec.name}: {omitted.reason}")
    for problem in problems:
        print_line(f"missing: {problem}")
    print_line(f"{len(gallery.drawn)} figures drawn")


def print_search(outcome: "SearchOutcome") -> None:
    """Print the result of a search."""
    status, conclusion = outcome.status, outcome.conclusion
    print_line(
        f"{outcome.study_name}: {status.num_complete} trials complete, {status.num_pruned} "
        f"pruned, {status.num_failed} failed"
    )
    if conclusion is None:
        print_line(
            "the main process of the study computes the result. To print the result, repeat this "
            f"command where the study was created: {outcome.main_process}"
        )
        return
    print_line(f"best trial: {conclusion.best.number}")
    for name, value in conclusion.best.user_attrs["overrides"].items():
        print_line(f"  {name}: {value}")
    _print_report(conclusion.report)
    print_directions(read_data(conclusion.run.data_path).traits)
    if conclusion.comparison is not None:
        print_differences(conclusion.comparison)
    print_line(f"run: {outcome.run.path}")
    if outcome.figures is not None:
        print_search_figures(outcome.figures)
    best_path = outcome.run.search_dir / "best.yaml"
    print_line(f"recommended configuration ({conclusion.recommended}): {best_path}")
    print_line(f"model of this configuration: {conclusion.run.model_path}")
    if outcome.undelivered:
        print_line(f"warning: some results are not in MLflow yet ({outcome.undelivered}).")
    print_line(conclusion.decision)
    print_line(f"next: python -m pipeline train --config {shlex.quote(str(best_path))}")
    run_dir = shlex.quote(str(outcome.run.path))
    print_line(
        f"figures for a paper: python -m pipeline visualize --run_dir {run_dir} "
        "--format pdf --style paper"
    )


def print_extraction(outcome: "ExtractionOutcome") -> None:
    """Print the result of an extraction, including failed clips and warnings."""
    for clip_id, text in list(outcome.warnings.items())[:_MAX_LINES]:
        print_line(f"warning: {clip_id}: {text}")
    for result in outcome.failed[:_MAX_LINES]:
        print_line(f"failed: {result.clip_id}: {result.reason} ({result.stage})")
    print_line(
        f"{outcome.features_dir}: {outcome.num_clips} clips ({outcome.num_done} new, "
        f"{outcome.num_skipped} from earlier calls), {len(outcome.failed)} failed, "
        f"{len(outcome.warnings)} with a warning"
    )
    print_directions(outcome.traits)
    if outcome.failed:
        print_line(f"failures: {outcome.failures_path}")
    if outcome.contact_sheet_path is not None:
        print_line(f"contact sheet: {outcome.contact_sheet_path}")


def print_checks(checks: "tuple[Check, ...]", results_path: Path) -> None:
    """Print the result of each check."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD)
    table.add_column("part", no_wrap=True)
    for column in ("file", "result"):
        table.add_column(column, overflow="fold")  # by default, rich truncates long texts
    for check in checks:
        table.add_row(check.part, check.file, f"failed: {check.fault}" if check.fault else "passed")
    build_console().print(table)
    num_failed = sum(bool(check.fault) for check in checks)
    print_line(f"{len(checks) - num_failed} passed, {num_failed} failed")
    print_line(f"results: {results_path}")


def _print_report(report: EvaluationReport) -> None:
    clips = f"{report.num_clips} clips of {report.num_groups} groups"
    print_metrics(f"{report.split}: {clips}, 95 % intervals", dict(report.metrics))
    if report.original_units is not None:
        _print_original_units(report.original_units)
    rows = {
        f"{name} {metric}": scores[metric]
        for name, scores in report.baselines.items()
        for metric in ("accuracy", "r2", "ccc")
    }
    print_metrics("baselines on the same clips", rows)
    if report.intervals is not None:
        _print_coverage(report.intervals)


def _print_original_units(units: "OriginalUnits") -> None:
    print_cells(
        f"errors on the original scale: {describe_ranges(units.label_ranges)}",
        tuple(units.label_ranges),
        {metric: _cells(errors) for metric, errors in units.errors.items()},
    )


def _print_coverage(intervals: "Coverage") -> None:
    trait_names = _trait_names(intervals.coverage)
    widths = [intervals.mean_width[name] for name in ("mean", *trait_names)]
    print_cells(
        f"{percent(intervals.level)} prediction intervals, {intervals.num_clips} clips of "
        f"{intervals.num_groups} groups",
        trait_names,
        {
            "covered": _cells(intervals.coverage),
            "mean width": [f"{width:.{_DIGITS}f}" for width in widths],
        },
    )
    print_line(f"measured on {intervals.measured_on}")


def print_differences(comparison: Comparison) -> None:
    """Print a legend, and the differences between two models with their intervals."""
    first, second = comparison.labels
    for label, name in zip(comparison.labels, comparison.names, strict=True):
        print_line(f"{label}: {name}")
    intervals = f"{percent(comparison.confidence)} intervals"
    print_metrics(
        f"{second} minus {first} on {comparison.sample}, {intervals}",
        dict(comparison.differences),
        signed=True,
    )


def print_metrics(
    title: str, rows: Mapping[str, Mapping[str, Interval]], *, signed: bool = False
) -> None:
    """Print one row per metric: mean over traits with its interval, then one value per trait."""
    cells = {name: _cells(traits, sign="+" if signed else "") for name, traits in rows.items()}
    trait_names = _trait_names(next(iter(rows.values()))) if rows else ()
    print_cells(title, trait_names, cells)


def _trait_names(scores: Mapping[str, Interval]) -> tuple[str, ...]:
    return tuple(name for name in scores if name != "mean")


def print_cells(title: str, trait_names: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a table with one column for the mean and one column per trait."""
    console = build_console()
    table = _table(title, ("mean", *trait_names), rows)
    unlimited = console.options.update(max_width=_MAX_WIDTH)
    if console.measure(table, options=unlimited).maximum <= console.width:
        console.print(table)
        return
    # Rich would truncate the numbers, so print two narrow tables.
    console.print(_table(title, ["mean"], {name: cells[:1] for name, cells in rows.items()}))
    columns = short_names(trait_names)
    console.print(_table("", columns, {name: cells[1:] for name, cells in rows.items()}))


def _table(
    title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]], *, first: str = ""
) -> rich.table.Table:
    table = rich.table.Table(title=title or None, box=rich.box.SIMPLE_HEAD, title_justify="left")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name, cells in rows.items():
        table.add_row(name, *cells)
    return table


def _cells(traits: Mapping[str, Interval], sign: str = "") -> list[str]:
    """Return the mean with its interval, "-" if there is no mean, and one value per trait."""
    values = [f"{traits[trait].value:{sign}.{_DIGITS}f}" for trait in _trait_names(traits)]
    mean = traits.get("mean")
    if mean is None:
        return ["-", *values]
    ends = f"[{mean.low:.{_DIGITS}f}, {mean.high:.{_DIGITS}f}]"
    return [f"{mean.value:{sign}.{_DIGITS}f} {ends}", *values]


def build_console() -> rich.console.Console:
    """Build the console for standard output."""
    console = rich.console.Console()
    # Files and pipes have no width, so a fixed width is used.
    return console if console.is_terminal else rich.console.Console(width=_MAX_WIDTH)
