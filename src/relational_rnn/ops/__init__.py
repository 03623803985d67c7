"""Tensor functions: no modules, no configuration, no files."""
