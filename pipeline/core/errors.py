"""Errors that a user can correct, exit statuses, and functions for error messages."""

from pipeline.core.urls import hide_passwords

EXIT_OK = 0
EXIT_FAULT = 1
EXIT_USER_ERROR = 2
EXIT_INCOMPLETE = 3


class PipelineError(ValueError):
    """The input is wrong. The message states the faulty place and the fix. The exit status is 2."""


class ConfigError(PipelineError):
    """A configuration file or an override is invalid."""


class FeatureSetError(PipelineError):
    """A feature set does not have the required format."""


class AnnotationError(PipelineError):
    """An annotation file is not readable, or is not safe to read."""


class SplitError(PipelineError):
    """The clips cannot be split as requested."""


class ModelError(PipelineError):
    """A model cannot be built, saved or loaded as requested."""


class TrainingError(PipelineError):
    """Training cannot start or cannot continue."""


class RunError(PipelineError):
    """A run directory or an MLflow run cannot be used as requested."""


class ExtractionError(PipelineError):
    """Features cannot be extracted as requested."""


class SearchError(PipelineError):
    """A search cannot start or cannot continue."""


class WorkerError(PipelineError):
    """Worker processes or a Ray cluster cannot be used as requested."""


class IncompleteError(PipelineError):
    """The command has completed a part of its work. The exit status is 3."""


class PrunedError(Exception):
    """The pruner stopped this trial because other trials were better. This is not a failure."""


def one_line(error: BaseException) -> str:
    """Return an error message as one line without passwords.

    If there is no message, return the type of the error.
    """
    return " ".join(hide_passwords(str(error)).split()) or type(error).__name__


def first_line(error: BaseException) -> str:
    """Return the first 300 characters of the first line of an error message, without passwords.

    If there is no message, return the type of the error.
    """
    lines = hide_passwords(str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
