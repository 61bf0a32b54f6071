"""Typed configuration: settings, loading and dotted overrides."""
