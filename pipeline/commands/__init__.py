"""Arguments and printed output of each command."""
