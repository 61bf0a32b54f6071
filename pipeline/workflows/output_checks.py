"""Where a prediction may be written: over nothing that it is made from."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.core.errors import ConfigError
from pipeline.core.run_directory import RunDirectory


def refuse_one_file_for_both(output: Path, explain: Path | None) -> None:
    """Refuse to write scores and attention to one file.

    Raises:
        ConfigError: Naming the file.
    """
    if explain is not None and output.resolve() == explain.resolve():
        raise ConfigError(
            f"{explain}: is given as --output and as --explain, and holds one of them only. "
            "Give two files."
        )


def refuse_sources(outputs: Iterable[Path], sources: Sequence[Path]) -> None:
    """Refuse to write over what is read.

    Args:
        outputs: Files that would be written.
        sources: Files that are read, or directories of them.

    Raises:
        ConfigError: Naming the file.
    """
    read = {source.resolve() for source in sources}
    for output in outputs:
        resolved = output.resolve()
        # A new file beside recordings takes nothing away; one that is there may be one of them.
        if resolved in read or (output.exists() and read.intersection(resolved.parents)):
            raise ConfigError(
                f"{output}: is there already, among the files that the clips are read from. "
                "Give another file for what is written."
            )


def refuse_files_of_run(outputs: Iterable[Path], run: RunDirectory) -> None:
    """Refuse to write over the split or the predictions of the run that has the model.

    Raises:
        ConfigError: Naming the file.
    """
    predictions = run.predictions_path("all").resolve().parent
    for output in outputs:
        resolved = output.resolve()
        if resolved == run.split_path.resolve() or predictions in resolved.parents:
            raise ConfigError(
                f"{output}: is where the run keeps files of its own. Give another file."
            )
