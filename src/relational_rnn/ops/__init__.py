"""Functions of tensors: no modules, no configuration, no files."""
