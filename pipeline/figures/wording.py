"""Names that `pipeline.search` imports from here; use `pipeline.core.number_format` instead."""

from pipeline.core.number_format import METRIC_NAMES, count

__all__ = ["METRIC_NAMES", "count"]
