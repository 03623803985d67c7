"""Cross-entropy of a softmax over a linear layer, without ever holding all logits."""

from .chunked import Reduction, linear_cross_entropy

__all__ = ["Reduction", "linear_cross_entropy"]
