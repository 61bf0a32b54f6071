"""Digests of the files of a run directory, kept in `manifest.json`.

A damaged file may still parse, as another learning rate or another split. So each file is
compared with its digest before a result depends on it. Directories that an older version
wrote have no manifest; their files are not checked.
"""

from pathlib import Path

from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import file_hash, read_sealed_json, write_sealed_json
from pipeline.core.run_directory import RunDirectory


def record_files(run: RunDirectory, *paths: Path) -> None:
    """Record the digests of those of `paths` that exist; forget those that do not.

    Only the process that holds the directory may call this.
    """
    digests = _read(run)
    for path in paths:
        digests.pop(_name(run, path), None)
        if path.is_file():
            digests[_name(run, path)] = file_hash(path)
    write_sealed_json(run.manifest_path, {"files": digests})


def forget_files(run: RunDirectory, *paths: Path) -> None:
    """Remove the digests of files that are about to be written again.

    A kill between the write and the new digest would make the new file look damaged.
    """
    digests = _read(run)
    names = {_name(run, path) for path in paths} & digests.keys()
    if names:
        kept = {name: digest for name, digest in digests.items() if name not in names}
        write_sealed_json(run.manifest_path, {"files": kept})


def check_files(run: RunDirectory, *paths: Path) -> None:
    """Check that files are as the run wrote them.

    Raises:
        RunError: If a file differs from its digest, or is missing.
    """
    digests = _read(run)
    for path in paths:
        recorded = digests.get(_name(run, path))
        if recorded is not None and recorded != _digest(path):
            raise RunError(
                f"{path}: is not as the run wrote it; its digest differs from the one in "
                f"{run.manifest_path.name}. Restore it from a backup. To change a setting on "
                "purpose, start a new run."
            )


def _read(run: RunDirectory) -> dict[str, str]:
    path = run.manifest_path
    if not path.exists():
        return {}
    try:
        return dict(read_sealed_json(path)["files"])
    except (PipelineError, KeyError, TypeError, ValueError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise RunError(
            f"{path}: cannot be read ({reason}). Restore it from a backup, or remove it to go "
            "on without checking the files of the run."
        ) from error


def _name(run: RunDirectory, path: Path) -> str:
    return path.relative_to(run.path).as_posix()


def _digest(path: Path) -> str | None:
    try:
        return file_hash(path)
    except OSError:
        return None
