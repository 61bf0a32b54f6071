"""Calls functions of figures with the contents of files, which are checked as on disk."""

import functools

from pipeline.records.evaluation import EvaluationReport
from pipeline.records.metrics_history import LearningRateLogs, MetricsHistory
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content


def record_of(content):
    """Return the typed record of a file's content; another value as it is."""
    if not isinstance(content, dict):
        return content
    if "num_resamples" in content and "baselines" in content:
        return check_content(EvaluationReport, content)
    if "epoch_times" in content:
        return check_content(TimeLogs, content)
    if "learning_rate" in content:
        return check_content(LearningRateLogs, content)
    return check_content(MetricsHistory, content) if "epoch" in content else content


def on_contents(function):
    """Return the function, with records in place of the contents of files."""

    @functools.wraps(function)
    def call(*args, **options):
        records = {name: record_of(value) for name, value in options.items()}
        return function(*map(record_of, args), **records)

    return call
