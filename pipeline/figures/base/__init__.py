"""Style, layout, curves and specification of figures."""
