"""Files of the run directory: one module per file reads it, checks it and writes it."""
