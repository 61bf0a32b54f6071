"""Measurements. Each module measures one group of rows, in its function `measure`."""
