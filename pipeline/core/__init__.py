"""Foundations: errors, files, seeds, traits, the run directory and its run log."""
