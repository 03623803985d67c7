"""How good a trained language model is: perplexity, and methods that lower it at test time."""
