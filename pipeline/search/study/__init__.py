"""Optuna study: storage, sampling, retries and status."""
