"""Hyper-parameter search with Optuna: space, study, trials and workers."""
