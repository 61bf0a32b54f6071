"""Measure the rows of benchmarks/RESULTS.md.

    python -m benchmarks [--quick] [--groups training,search] [--features_dir DIR]

The whole benchmark takes up to ten minutes on two idle cores, and writes benchmarks/results.json
and benchmarks/RESULTS.md. With --quick or --groups, the results are only printed and written to
build/benchmarks/results.json.
"""

import argparse
import importlib
import json
import tempfile
import time
from pathlib import Path

from benchmarks.bench import FULL, QUICK, Bench
from benchmarks.machine import REPOSITORY, describe_machine
from benchmarks.report import RESULTS_DIR, table, to_json, write_markdown, write_results
from benchmarks.rows import GROUPS, Result


def main() -> None:
    """Measure the selected groups of rows."""
    arguments = _parse()
    if arguments.table:
        write_markdown(RESULTS_DIR)
        return
    sizes = QUICK if arguments.quick else FULL
    machine, start = describe_machine(), time.perf_counter()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        bench = Bench(sizes, Path(directory), arguments.features_dir)
        for group in arguments.groups or sizes.groups:
            began = time.perf_counter()
            measured = importlib.import_module(f"benchmarks.measure.{group}").measure(bench)
            results += measured
            print(f"{group}: {time.perf_counter() - began:.0f} s\n{table(measured)}\n", flush=True)
    content = to_json(results, machine, time.perf_counter() - start)
    if arguments.quick or arguments.groups:
        path = REPOSITORY / "build" / "benchmarks" / "results.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    else:
        write_results(content, RESULTS_DIR)
    print(f"{time.perf_counter() - start:.0f} s")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, one to two minutes")
    parser.add_argument("--groups", type=_groups, help=f"comma-separated: {', '.join(GROUPS)}")
    parser.add_argument(
        "--features_dir",
        type=Path,
        help="feature set for `train` and `search`, instead of a generated set",
    )
    parser.add_argument(
        "--table", action="store_true", help="only write RESULTS.md from results.json again"
    )
    return parser.parse_args()


def _groups(text: str) -> list[str]:
    groups = text.split(",")
    if unknown := set(groups) - set(GROUPS):
        raise argparse.ArgumentTypeError(
            f"unknown: {', '.join(sorted(unknown))}; expected: {', '.join(GROUPS)}"
        )
    return groups


if __name__ == "__main__":
    main()
