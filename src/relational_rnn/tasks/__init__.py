"""Data sets and generators: what the models are trained on."""
