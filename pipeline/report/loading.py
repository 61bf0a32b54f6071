"""Reads the records of a run directory, whatever state it is in."""

from pathlib import Path
from typing import Any

from pipeline.config.yaml_file import read_yaml_mapping
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_json
from pipeline.core.manifest import check_files
from pipeline.core.run_directory import RunDirectory
from pipeline.report.records import FILES, RunRecords, parse_records


def load_records(run: RunDirectory, *, status: str | None = None) -> RunRecords:
    """Read what a run directory says; what is missing or damaged is named in the result.

    Args:
        run: The run directory.
        status: How the run ended, as its journal says; None where nothing says it.
    """
    contents: dict[str, Any] = {}
    unreadable: dict[str, str] = {}
    for file in FILES:
        path = run.path / file
        if not path.exists():
            continue
        try:
            check_files(run, path)
            read = read_yaml_mapping if path == run.config_path else read_json
            contents[file] = read(path)
        except PipelineError as error:
            unreadable[file] = str(error).removeprefix(f"{path}: ")
    return parse_records(
        contents,
        name=run.path.name,
        directory=_as_typed(run.path),
        unreadable=unreadable,
        status=status,
    )


def _as_typed(path: Path) -> str:
    """Return a path from the working directory, where commands are typed, if it is within."""
    here = Path.cwd()
    whole = path.absolute()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)
