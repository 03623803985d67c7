"""Cores on tasks: suites of runs with equal weights and equal examples, and their page."""
