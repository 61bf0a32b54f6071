"""Readers of foreign file formats."""
