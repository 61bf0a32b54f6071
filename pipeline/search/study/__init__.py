"""Optuna study: storage, sampling, pruning and retries."""
