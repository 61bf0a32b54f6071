"""Detection, tracking and alignment of faces."""
