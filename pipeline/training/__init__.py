"""Training of one model: fit, callbacks, optimizer, checkpoints, resume."""
