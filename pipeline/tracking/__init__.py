"""The only place that knows MLflow: the mirror of a run directory."""
