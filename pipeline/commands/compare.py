"""Compare two or more runs on the same clips: paired differences with 95 % intervals."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.arguments import add_path, add_run_dirs, add_split, run_paths
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

if TYPE_CHECKING:
    from pipeline.evaluation.comparison import Comparison

TAKES_OVERRIDES = False
EPILOG = (
    "For instance: compare --run_dir runs/ONE runs/OTHER. With more than two runs, each run is "
    "compared with the first. If an interval contains 0, the data show no difference between the "
    "runs. `summarize --against` compares groups of runs with several seeds."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_run_dirs(parser, "run_dir", "two or more run directories; the first is the reference")
    add_split(parser)
    add_path(parser, "output", "JSON file for the comparison (default: none)")
    add_path(parser, "figures_dir", "directory for the figures (default: results/RUN-RUN)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    runs = run_paths(arguments.run_dir)
    if len(runs) < 2:
        raise ConfigError("Give two or more run directories: --run_dir RUN RUN.")
    from pipeline.commands.project_run import record_result
    from pipeline.commands.tables import print_line
    from pipeline.core.files import write_json
    from pipeline.workflows.compare import (
        compare_with_first,
        draw_comparison,
        draw_differences,
    )

    comparisons = compare_with_first(runs, split=arguments.split)
    content = [comparison.to_json() for comparison in comparisons]
    if arguments.output is not None:
        several = {"comparisons": content}
        write_json(arguments.output, several if len(content) > 1 else content[0])
    print_comparisons(comparisons)
    figures_dir = arguments.figures_dir or Path("results") / folder_name(runs)
    if len(comparisons) > 1:
        gallery = draw_differences(comparisons, output_dir=figures_dir)
    else:
        gallery = draw_comparison(
            comparisons[0], *runs, split=arguments.split, output_dir=figures_dir
        )
    for figure in gallery.drawn:
        print_line(f"figure: {figure.paths[0]}")
    for omitted in gallery.omitted:
        print_line(f"not drawn: {omitted.spec.name}: {omitted.reason}")
    if arguments.output is not None:
        print_line(f"comparison: {arguments.output}")
    record_result(
        f"compare {' '.join(run.resolve().name for run in runs)} on {arguments.split}",
        "\n\n".join(comparison.overall for comparison in comparisons),
        metrics={
            f"comparison/{arguments.split}/{metric}_difference": traits["mean"].value
            for metric, traits in comparisons[0].differences.items()
            if len(comparisons) == 1
        },
        paths=[figures_dir / "comparison", *([arguments.output] if arguments.output else [])],
    )
    for comparison in comparisons:
        print_line(comparison.overall)
    return EXIT_INCOMPLETE if gallery.faults else EXIT_OK


def print_comparisons(comparisons: "Sequence[Comparison]") -> None:
    """Print a legend and the differences: one table for two runs, else one table per metric."""
    from pipeline.commands.tables import print_differences, print_line, print_metrics
    from pipeline.core.number_format import METRIC_NAMES, percent
    from pipeline.metrics.regression import METRICS

    first = comparisons[0]
    if len(comparisons) == 1:
        print_differences(first)
        return
    reference = first.labels[0]
    names = [
        (reference, first.names[0]),
        *((each.labels[1], each.names[1]) for each in comparisons),
    ]
    for label, name in names:
        print_line(f"{label}: {name}")
    print_line(f"differences from {reference} on {first.sample}")
    print_line(
        f"{percent(first.confidence, 1)} intervals, so that all {len(comparisons)} differences in "
        "one metric hold together with 95 % confidence (Bonferroni correction)"
    )
    for metric in METRICS:
        rows = {
            f"{each.labels[1]} minus {reference}": each.differences[metric] for each in comparisons
        }
        print_metrics(METRIC_NAMES[metric], rows, signed=True)


def folder_name(runs: Sequence[Path]) -> str:
    """Return a name for the figures of two runs, or of the first and the number of other runs.

    If two names are equal, each name is preceded by the name of its parent directory.
    """
    paths = [path.resolve() for path in runs]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.parent.name}-{path.name}" for path in paths]
    return "-".join(names) if len(names) == 2 else f"{names[0]}-and-{len(names) - 1}-others"
