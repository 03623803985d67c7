"""Sweeps: many runs of one configuration with some of its fields changed, and their comparison."""
