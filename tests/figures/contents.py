"""Typed records from the contents of files, checked as they are when read from disk."""

from pipeline.records.evaluation import EvaluationReport
from pipeline.records.lr_logs import LearningRateLogs
from pipeline.records.metrics_history import MetricsHistory
from pipeline.records.time_logs import TimeLogs
from pipeline.records.typed_json import check_content


def record_of(content):
    """Return the typed record of a file's content; another value as it is."""
    if not isinstance(content, dict):
        return content
    if "num_resamples" in content:
        return check_content(EvaluationReport, content)
    if "epoch_times" in content:
        return check_content(TimeLogs, content)
    if "learning_rate" in content:
        return check_content(LearningRateLogs, content)
    return check_content(MetricsHistory, content) if "epoch" in content else content


def records_of(contents):
    """Return inputs of figures by name, with records in place of the contents of files."""
    return {name: record_of(content) for name, content in contents.items()}
