"""Search space: what a search varies."""
