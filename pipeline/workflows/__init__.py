"""Whole jobs, joined from the parts below: one training run, one evaluation, one comparison."""
