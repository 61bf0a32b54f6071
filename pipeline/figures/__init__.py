"""Figures of a run. Each figure has three functions: compute its data, draw, describe."""
