"""Pools of worker processes on this machine and of Ray actors, with one interface."""
