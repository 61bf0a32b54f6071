"""Figures of the measured times of a run."""
