"""Figures of predictions and scores."""
