"""Figures of predictions and metrics."""
