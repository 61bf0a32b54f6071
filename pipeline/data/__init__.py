"""Feature sets, annotations, splits, batches and the built-in data set."""
