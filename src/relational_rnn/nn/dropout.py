"""Dropout for recurrent networks: one mask a sequence, whole words, recurrent weights.

All are the identity in evaluation mode and at ``p=0``, and scale what is left by ``1 / (1 - p)``.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _check(p: float) -> float:
    if not 0 <= p < 1:
        raise ValueError(f"p is {p!r}; it takes a number from 0 to below 1")
    return p


class VariationalDropout(nn.Module):
    """The same units dropped at every step (Gal & Ghahramani 2016, section 4).

    Args:
        p: probability of dropping a unit.

    Raises:
        ValueError: `p` out of range.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = _check(p)

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply ``[T, B, E]`` by one mask ``[1, B, E]``."""
        if not self.training or self.p == 0:
            return inputs
        return inputs * F.dropout(torch.ones_like(inputs[:1]), self.p)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"p={self.p}"


class EmbeddingDropout(nn.Module):
    """Whole words dropped, at all their places (Gal & Ghahramani 2016, 4.2; Merity et al. 2018).

    Args:
        p: probability of dropping a word.

    Raises:
        ValueError: `p` out of range.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = _check(p)

    def forward(self, embedding: nn.Embedding, tokens: Tensor) -> Tensor:
        """Look up ``tokens`` ``[...]`` with some words of the vocabulary zero: ``[..., E]``."""
        embedded: Tensor = embedding(tokens)
        if not self.training or self.p == 0:
            return embedded
        mask = F.dropout(embedded.new_ones(embedding.num_embeddings, 1), self.p)  # [V, 1]
        return embedded * mask[tokens]

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"p={self.p}"


class WeightDrop(nn.Module):
    """DropConnect (Wan et al. 2013) on weights of any module, as Merity et al. 2018 use it.

    Each call in training draws one mask for each named weight, so a recurrent module sees the
    same weights at every step of the call. The weights stay whole: in evaluation the module runs
    as it is. In ``state_dict`` the module's names have ``module.`` before them.

    Args:
        module: called with the arguments of this one.
        names: its parameters to drop from, such as ``("weight_hh_l0",)``.
        p: probability of dropping an element.

    Raises:
        ValueError: `p` out of range, or a name that is no parameter of `module`.
    """

    def __init__(self, module: nn.Module, names: Sequence[str], p: float) -> None:
        super().__init__()
        known = dict(module.named_parameters())
        for name in names:
            if name not in known:
                raise ValueError(f"names has {name!r}; it takes names among {list(known)}")
        self.module = module
        self.names = tuple(names)
        self.p = _check(p)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module."""
        if not self.training or self.p == 0:
            return self.module(*args, **kwargs)
        dropped = {name: F.dropout(self.module.get_parameter(name), self.p) for name in self.names}
        return torch.func.functional_call(self.module, dropped, args, kwargs)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"names={list(self.names)}, p={self.p}"
