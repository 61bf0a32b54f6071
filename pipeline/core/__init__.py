"""What everything stands on: traits, errors, files, seeds, the run directory, its run log."""
