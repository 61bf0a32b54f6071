"""Typed experiment configuration: schema, YAML loading, dotted overrides."""
