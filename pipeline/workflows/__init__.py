"""Workflows. A module that runs one command has the name of the command."""
