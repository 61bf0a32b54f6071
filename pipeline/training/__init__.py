"""Fit a model: callbacks, schedules, checkpoints, resume."""
