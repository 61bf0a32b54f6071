"""`manifest.json`: hashes of the files of a run directory.

A damaged file can still be readable, for example with a wrong learning rate. Therefore the hash
of each file is checked before the file is used. Runs of older versions have no manifest, and their
files are not checked.
"""

from pathlib import Path

from pipeline.core.errors import PipelineError, RunError
from pipeline.core.files import file_hash, read_sealed_json, write_sealed_json
from pipeline.core.run_directory import RunDirectory


def record_files(run: RunDirectory, *paths: Path) -> None:
    """Store the hashes of existing files in the manifest, and remove those of missing files.

    The caller must hold the lock of the run.
    """
    hashes = _read(run)
    for path in paths:
        hashes.pop(_name(run, path), None)
        if path.is_file():
            hashes[_name(run, path)] = file_hash(path)
    write_sealed_json(run.manifest_path, {"files": hashes})


def forget_files(run: RunDirectory, *paths: Path) -> None:
    """Remove the hashes of files from the manifest. Use this function before a file is replaced.

    If the process is killed between the replacement and the update of the manifest, the new hash
    is not stored. If the manifest still contained the old hash, the file would seem damaged.
    """
    hashes = _read(run)
    names = {_name(run, path) for path in paths}
    if names & hashes.keys():
        kept = {name: value for name, value in hashes.items() if name not in names}
        write_sealed_json(run.manifest_path, {"files": kept})


def check_files(run: RunDirectory, *paths: Path) -> None:
    """Check that files have not changed since the run wrote them.

    Raises:
        RunError: If a file with a stored hash is missing, or its content has another hash.
    """
    hashes = _read(run)
    for path in paths:
        stored = hashes.get(_name(run, path))
        if stored is not None and not (path.is_file() and stored == file_hash(path)):
            raise RunError(
                f"{path}: is not as the run wrote it; its hash differs from the hash "
                f"in {run.manifest_path.name}. Restore the file from a backup. To change a setting "
                "on purpose, start a new run."
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
            f"{path}: cannot be read ({reason}). Restore it from a backup, or remove it to "
            "continue without checking the files of the run."
        ) from error


def _name(run: RunDirectory, path: Path) -> str:
    return path.relative_to(run.path).as_posix()
