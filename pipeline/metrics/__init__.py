"""Per-trait regression metrics: exact ones in numpy, exact streaming ones in Keras."""
