"""Time figures of a run."""
