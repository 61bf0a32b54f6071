"""Readers of annotation files, and of feature files from other tools."""
