"""Compare two runs on the same clips: paired differences with 95 % intervals."""

import argparse
from pathlib import Path

from pipeline.commands.arguments import add_path, add_split
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

TAKES_OVERRIDES = False
EPILOG = "If a 95 % interval contains 0, the data show no difference between the runs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "run_a", "first run directory")
    add_path(parser, "run_b", "second run directory")
    add_split(parser)
    add_path(parser, "output", "JSON file for the comparison (default: none)")
    add_path(parser, "figures_dir", "directory for the figures (default: results/RUN_A-RUN_B)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.run_a is None or arguments.run_b is None:
        raise ConfigError("Give two run directories: --run_a RUN --run_b RUN.")
    from pipeline.commands.project_run import record_result
    from pipeline.commands.tables import print_comparison, print_line
    from pipeline.core.files import write_json
    from pipeline.workflows.compare import compare_runs, draw_comparison

    comparison = compare_runs(arguments.run_a, arguments.run_b, split=arguments.split)
    if arguments.output is not None:
        write_json(arguments.output, comparison.to_json())
    runs = (arguments.run_a, arguments.run_b)
    figures_dir = arguments.figures_dir or Path("results") / folder_name(*runs)
    gallery = draw_comparison(comparison, *runs, split=arguments.split, output_dir=figures_dir)
    print_comparison(comparison, gallery)
    if arguments.output is not None:
        print_line(f"comparison: {arguments.output}")
    table = "\n".join(f"- {verdict}" for verdict in comparison.verdicts.values())
    record_result(
        f"compare {' '.join(comparison.names)} on {arguments.split}",
        f"{comparison.overall}\n\n{table}",
        metrics={
            f"comparison/{arguments.split}/{metric}_difference": traits["mean"].value
            for metric, traits in comparison.differences.items()
        },
        paths=[figures_dir / "comparison", *filter(None, [arguments.output])],
    )
    return EXIT_INCOMPLETE if gallery.faults else EXIT_OK


def folder_name(run_a: Path, run_b: Path) -> str:
    """Join the names of both run directories.

    If the names are equal, each name is preceded by the name of its parent directory.
    """
    paths = (run_a.resolve(), run_b.resolve())
    if paths[0].name == paths[1].name:
        return "-".join(f"{path.parent.name}-{path.name}" for path in paths)
    return "-".join(path.name for path in paths)
