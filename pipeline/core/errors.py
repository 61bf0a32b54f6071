"""Errors that a user can act on: what was expected, what was found, where, and the cure."""

EXIT_OK = 0
EXIT_FAULT = 1
EXIT_USER_ERROR = 2
EXIT_INCOMPLETE = 3


class PipelineError(ValueError):
    """The input is wrong; the message names the place and the cure. Exit status 2."""


class ConfigError(PipelineError):
    """A configuration file or an override cannot be used."""


class FeatureSetError(PipelineError):
    """A feature set breaks its contract."""


class AnnotationError(PipelineError):
    """An annotation file cannot be read, or must not be."""


class SplitError(PipelineError):
    """The clips cannot be split as asked."""


class ModelError(PipelineError):
    """A model cannot be built, saved or loaded as asked."""


class TrainingError(PipelineError):
    """Training cannot start or cannot go on."""


class RunError(PipelineError):
    """A run directory or a tracked run cannot be used as asked."""


class ExtractionError(PipelineError):
    """Features cannot be made as asked."""


class SearchError(PipelineError):
    """A search cannot start, or cannot go on."""


class WorkerError(PipelineError):
    """Worker processes or a Ray cluster cannot be used as asked."""


class IncompleteError(PipelineError):
    """Part of what was asked for was done; the message says which part was not. Exit status 3."""


class PrunedError(Exception):
    """A search ended a training before its time, as others were ahead of it; no fault."""
