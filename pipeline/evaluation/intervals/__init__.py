"""Intervals: `bootstrap` for metrics (95 %), `conformal` for predicted scores (90 %)."""
