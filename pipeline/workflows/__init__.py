"""Workflows of the pipeline. The module of a command has the name of the command."""
