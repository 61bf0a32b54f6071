"""Figures of a run. Each figure has three functions: compute, draw and describe its data."""
