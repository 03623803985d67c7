"""Training data: texts for language models, and tasks whose examples are generated."""
