"""Search for better settings: the space, the study, its trials and the workers that run them."""
