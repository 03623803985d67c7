"""Cross-entropy of a softmax over a linear layer, without materialising all logits."""

from .chunked import Reduction, check_reduction, linear_cross_entropy

__all__ = ["Reduction", "check_reduction", "linear_cross_entropy"]
