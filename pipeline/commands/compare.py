"""Compare two runs on the same clips: paired differences with intervals, in plain words."""

import argparse
from pathlib import Path

from pipeline.commands.arguments import optional_path
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

TAKES_OVERRIDES = False
EPILOG = "A difference whose 95 % interval holds 0 is not shown to be one."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    parser.add_argument("--run_a", type=optional_path, default=None, help="first run directory")
    parser.add_argument("--run_b", type=optional_path, default=None, help="second run directory")
    parser.add_argument(
        "--split", default="validation", choices=("validation", "test", "all"), help="clips to use"
    )
    parser.add_argument(
        "--output", type=optional_path, default=None, help="write the comparison here, as JSON"
    )
    parser.add_argument(
        "--figures_dir",
        type=optional_path,
        default=None,
        help="where the figures go (default: results/A-B, by the names of the runs)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.run_a is None or arguments.run_b is None:
        raise ConfigError("Give two run directories: --run_a RUN --run_b RUN.")
    from pipeline.commands.tables import print_comparison, print_line
    from pipeline.core.files import write_json
    from pipeline.workflows.compare import compare_runs, draw_comparison

    comparison = compare_runs(arguments.run_a, arguments.run_b, split=arguments.split)
    if arguments.output is not None:
        write_json(arguments.output, comparison.to_json())
    runs = (arguments.run_a, arguments.run_b)
    figures_dir = arguments.figures_dir or Path("results") / _folder_name(*runs)
    gallery = draw_comparison(comparison, *runs, split=arguments.split, output_dir=figures_dir)
    print_comparison(comparison, gallery)
    if arguments.output is not None:
        print_line(f"comparison: {arguments.output}")
    return EXIT_INCOMPLETE if gallery.faults else EXIT_OK


def _folder_name(run_a: Path, run_b: Path) -> str:
    """Return the names of the runs, with those of their directories where they are alike."""
    paths = (run_a.resolve(), run_b.resolve())
    if paths[0].name == paths[1].name:
        return "-".join(f"{path.parent.name}-{path.name}" for path in paths)
    return "-".join(path.name for path in paths)
