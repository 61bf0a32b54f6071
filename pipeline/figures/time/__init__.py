"""Figures of measured times."""
