"""Errors that a user can act on, their exit status, and their text in one line."""

from pipeline.core.urls import hide_passwords

EXIT_OK = 0
EXIT_FAULT = 1
EXIT_USER_ERROR = 2
EXIT_INCOMPLETE = 3


class PipelineError(ValueError):
    """The input is wrong; the message names the place and the fix. Exit status 2."""


class ConfigError(PipelineError):
    """A configuration file or an override cannot be used."""


class FeatureSetError(PipelineError):
    """A feature set breaks its contract."""


class AnnotationError(PipelineError):
    """An annotation file cannot be read, or must not be."""


class SplitError(PipelineError):
    """The clips cannot be split as requested."""


class ModelError(PipelineError):
    """A model cannot be built, saved or loaded as requested."""


class TrainingError(PipelineError):
    """Training cannot start or cannot go on."""


class RunError(PipelineError):
    """A run directory or a tracked run cannot be used as requested."""


class ExtractionError(PipelineError):
    """Features cannot be extracted as requested."""


class SearchError(PipelineError):
    """A search cannot start, or cannot go on."""


class WorkerError(PipelineError):
    """Worker processes or a Ray cluster cannot be used as asked."""


class IncompleteError(PipelineError):
    """Only a part was completed; the message names the rest. Exit status 3."""


class PrunedError(Exception):
    """The pruner stopped this trial because other trials were better. This is not a failure."""


def one_line(error: BaseException) -> str:
    """Return the message of an error in one line, without passwords; its type if it has none."""
    return " ".join(hide_passwords(str(error)).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, for libraries whose messages have many."""
    lines = hide_passwords(str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def install_command(*extras: str) -> str:
    """Return the command that installs extras of this project, run in its directory."""
    return f"pip install -e '.[{','.join(extras)}]'"
