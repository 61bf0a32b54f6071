"""Training figures of a run."""
