"""Attention figures."""
