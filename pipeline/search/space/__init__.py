"""Search space: the settings that a search varies."""
