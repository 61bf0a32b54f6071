"""Rivals of the pipeline, written like the code of a user who does not know the pipeline."""
