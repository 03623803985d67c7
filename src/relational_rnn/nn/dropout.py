"""Dropout for recurrent networks: variational dropout, embedding dropout, DropConnect.

All are the identity in evaluation mode and at ``p=0``, and scale what is kept by ``1 / (1 - p)``.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .adaptive_embedding import AdaptiveEmbedding
from .arguments import check_share


class VariationalDropout(nn.Module):
    """Drop the same units at every step (Gal & Ghahramani 2016, section 4).

    Args:
        p: probability of dropping a unit.

    Raises:
        ValueError: if `p` is not in ``[0, 1)``.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        check_share("p", p)
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """Multiply ``[T, B, E]`` by one mask ``[1, B, E]``."""
        if not self.training or self.p == 0:
            return inputs
        return inputs * F.dropout(torch.ones_like(inputs[:1]), self.p)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"p={self.p}"


class EmbeddingDropout(nn.Module):
    """Drop whole words at all their occurrences (Gal & Ghahramani 2016, 4.2; Merity et al. 2018).

    Args:
        p: probability of dropping a word.

    Raises:
        ValueError: if `p` is not in ``[0, 1)``.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        check_share("p", p)
        self.p = p

    def forward(self, embedding: nn.Embedding | AdaptiveEmbedding, tokens: Tensor) -> Tensor:
        """Look up ``tokens`` ``[...]``, with the vectors of dropped words zero: ``[..., E]``."""
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

    Each call in training mode draws one mask for each named weight, so a recurrent module uses the
    same weights at every step of the call. The parameters themselves are not modified, and in
    evaluation mode the module runs as it is. Names in ``state_dict`` get the prefix ``module.``.

    Args:
        module: called with the arguments of the wrapper.
        names: of its parameters to drop from, such as ``("weight_hh_l0",)``.
        p: probability of dropping an element.

    Raises:
        ValueError: if `p` is not in ``[0, 1)``, or for a name that is not a parameter of `module`.
    """

    def __init__(self, module: nn.Module, names: Sequence[str], p: float) -> None:
        super().__init__()
        known = dict(module.named_parameters())
        for name in names:
            if name not in known:
                raise ValueError(f"names must be among {list(known)}, got {name!r}")
        check_share("p", p)
        self.module = module
        self.names = tuple(names)
        self.p = p

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module."""
        if not self.training or self.p == 0:
            return self.module(*args, **kwargs)
        dropped = {name: F.dropout(self.module.get_parameter(name), self.p) for name in self.names}
        return torch.func.functional_call(self.module, dropped, args, kwargs)

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"names={list(self.names)}, p={self.p}"
