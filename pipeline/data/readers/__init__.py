"""Readers of annotation files: ChaLearn pickles and CSV tables."""
