"""Figures of a run. Each has three functions: compute the data, draw it, and describe it."""
