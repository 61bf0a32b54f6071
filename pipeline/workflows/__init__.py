"""Workflows, named like the commands that run them."""
