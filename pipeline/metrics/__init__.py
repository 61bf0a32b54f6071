"""Regression metrics and attention entropy."""
