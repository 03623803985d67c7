"""Evaluation of trained models: perplexity, methods that lower it at test time, and accuracy."""
