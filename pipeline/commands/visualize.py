"""Draw the figures and write the report of a run again, without a model."""

import argparse

from pipeline.commands.arguments import add_path, add_split
from pipeline.commands.next_steps import after_visualization, print_next
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

TAKES_OVERRIDES = False
EPILOG = (
    "With --run_id, the artifacts of an MLflow run are downloaded first. If files are damaged, "
    "the other figures are drawn and the missing figures are listed. Attention figures show the "
    "clips that were measured at the end of training; each figure names its clips."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_path(parser, "run_dir", "run directory of a training or a search")
    parser.add_argument("--run_id", default="", help="MLflow run, instead of --run_dir")
    parser.add_argument(
        "--format",
        default="png",
        help="png, svg or pdf, or several formats with commas (default: png)",
    )
    parser.add_argument(
        "--style",
        default="screen",
        choices=("paper", "screen"),
        help="style of the figures (default: screen); paper replaces titles by the clips",
    )
    add_split(parser)
    parser.add_argument(
        "--all",
        nargs="?",
        const="true",
        default="false",
        choices=("true", "false"),
        help="draw all figures, not only the most important ones",
    )
    add_path(parser, "output_dir", "directory for the files of --run_id (default: results/RUN_ID)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from pathlib import Path

    from pipeline.commands.project_run import record_result
    from pipeline.commands.tables import print_search_figures, print_visualization

    if (arguments.run_dir is None) == (not arguments.run_id):
        raise ConfigError("Give either --run_dir RUN or --run_id ID, and not both.")
    if arguments.run_dir is not None and arguments.output_dir is not None:
        raise ConfigError(
            "--output_dir needs --run_id. --run_dir writes figures into that directory."
        )
    from pipeline.figures.base.style import STYLES
    from pipeline.figures.gallery import check_formats
    from pipeline.workflows.visualize import has_trained, open_drawable, visualize_run

    formats = check_formats(part for part in arguments.format.split(",") if part)
    run_dir = arguments.run_dir
    if arguments.run_id:
        from pipeline.tracking.existing_runs import download_run

        output_dir = arguments.output_dir or Path("results") / arguments.run_id
        run_dir = download_run(arguments.run_id, output_dir)
    drawable = open_drawable(run_dir)
    style = STYLES[arguments.style]
    is_search, is_complete = drawable.study_path.exists(), True
    if is_search:
        from pipeline.search.figures import draw_search

        figures = draw_search(drawable, formats=formats, style=style)
        print_search_figures(figures)
        is_complete = not figures.gallery.faults
    if has_trained(drawable) or not is_search:
        visualization = visualize_run(
            drawable,
            split=arguments.split,
            draw_all=arguments.all == "true",
            formats=formats,
            style=style,
        )
        print_visualization(visualization)
        print_next(after_visualization(visualization.report_path))
        is_complete = is_complete and not visualization.problems
    record_result(
        f"visualize {drawable.path.resolve().name}",
        f"Figures and report of `{drawable.path}`.",
        paths=[drawable.report_path, drawable.path / "search_visualizations" / "search.html"],
    )
    return EXIT_OK if is_complete else EXIT_INCOMPLETE
