"""Wiring of the entry points: parse, run a workflow, print; one file each."""
