"""Summarize runs with several seeds or splits: mean, standard deviation and 95 % interval."""

import argparse
from typing import TYPE_CHECKING

from pipeline.commands.arguments import add_path, add_run_dirs, add_split, run_paths
from pipeline.core.errors import EXIT_INCOMPLETE, EXIT_OK, ConfigError

if TYPE_CHECKING:
    from pipeline.workflows.summarize import Summarized

TAKES_OVERRIDES = False
EPILOG = (
    "For instance: train with --seed 0, 1 and 2 and the same --data.split_seed and "
    "--data.test_fraction, run evaluate --split test on each run, and then summarize --run_dir "
    "runs/S0 runs/S1 runs/S2 --split test. The tables are written as CSV, Markdown and LaTeX "
    "(booktabs), and logged as one MLflow run."
)

_HEADLINE = ("accuracy", "mae", "r2", "ccc")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the parameters of the entry point."""
    add_run_dirs(parser, "run_dir", "run directories of one method, for instance one per seed")
    add_run_dirs(parser, "against", "run directories of another method, for a paired comparison")
    parser.add_argument(
        "--experiment",
        default="",
        help="MLflow experiment whose finished training runs are summarized, instead of --run_dir",
    )
    parser.add_argument(
        "--filter",
        default="",
        help="MLflow filter for the runs of --experiment, for instance "
        "\"params.`model.fusion` = 'concat'\"",
    )
    add_split(parser)
    add_path(
        parser, "output_dir", "directory for the tables (default: a new run directory in runs/)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    runs = run_paths(arguments.run_dir)
    if bool(runs) == bool(arguments.experiment):
        raise ConfigError(
            "Give either run directories (--run_dir RUN RUN) or an MLflow experiment "
            "(--experiment NAME), and not both."
        )
    if arguments.filter and not arguments.experiment:
        raise ConfigError("--filter needs --experiment NAME.")
    from pipeline.core.run_directory import RUNS_DIR
    from pipeline.workflows.summarize import runs_of_experiment, summarize_runs

    if arguments.experiment:
        runs = runs_of_experiment(
            arguments.experiment, arguments.filter, download_dir=RUNS_DIR / "downloaded"
        )
    summarized = summarize_runs(
        runs,
        run_paths(arguments.against),
        split=arguments.split,
        output_dir=arguments.output_dir,
    )
    print_summary(summarized)
    return EXIT_INCOMPLETE if summarized.undelivered else EXIT_OK


def print_summary(summarized: "Summarized") -> None:
    """Print the tables, the paths of the files, and the numbers for a paper."""
    from pipeline.commands.tables import print_cells, print_line
    from pipeline.evaluation.summary_table import build_blocks, caption, headline

    summary = summarized.summary
    for block in build_blocks(summary):
        rows = {row[0]: (f"{row[1]} {row[2]}", *row[3:]) for row in block.rows}
        print_cells(block.title, summary.trait_names, rows)
    print_line(caption(summary))
    for path in summarized.table_paths:
        print_line(f"table: {path}")
    if summarized.undelivered:
        print_line(f"warning: the summary is not in MLflow yet ({summarized.undelivered}).")
    if len(summary.runs.names) == 1:
        print_line("note: one run has no standard deviation. Train with more seeds.")
    if summary.split == "validation":
        print_line(
            "note: the best epochs were chosen on these validation clips, so the scores are "
            "slightly too good. For a paper, hold out test clips (--data.test_fraction 0.2), run "
            "evaluate --split test, and give --split test."
        )
    if summary.verdict:
        print_line(summary.verdict)
    print_line(f"for a paper ({summary.clips}, mean over traits):")
    for metric in _HEADLINE:
        print_line(f"  {headline(summary, metric)}")
