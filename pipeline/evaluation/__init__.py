"""Predictions, baselines, intervals and comparisons."""
