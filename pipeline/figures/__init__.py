"""Figures of a run: numbers first, ink second; the only place that imports matplotlib."""
