"""Evaluation of models: baselines, intervals, comparisons, attention, speed advice."""
