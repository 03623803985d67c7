"""One minGRU layer: a GRU whose gate and candidate do not read the state.

Letters: T time, B batch, I input size, H hidden size.
"""

import torch
from torch import Tensor, nn

from .arguments import check_count


class MinGRU(nn.Module):
    """The minGRU of Feng et al. 2024, "Were RNNs all we needed?" (arXiv 2410.01201, section 3.1)::

        h[t] = (1 - z[t]) h[t-1] + z[t] c[t],   z = sigmoid(Wz x + bz),   c = Wc x + bc

    The state enters linearly, so all steps are computed at once. It is called like `torch.nn.GRU`.
    The rows of ``linear`` are those of ``-z``, which keep the state, then those of ``c``.

    Args:
        input_size: I.
        hidden_size: H.

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_count("input_size", input_size)
        check_count("hidden_size", hidden_size)
        self.hidden_size = hidden_size
        self.linear = nn.Linear(input_size, 2 * hidden_size)

    def forward(
        self, inputs: Tensor, state: Tensor | None = None, *, reset: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run a sequence.

        Args:
            inputs: ``[T, B, I]``.
            state: ``[1, B, H]``; default: zeros.
            reset: ``[T, B]`` bool: whether the state is zero again before a step; default: nowhere.

        Returns:
            The state after each step ``[T, B, H]``, and after the last ``[1, B, H]``.
        """
        gate, candidate = self.linear(inputs).chunk(2, dim=-1)
        keep, write = gate.sigmoid(), (-gate).sigmoid()
        if reset is not None:
            keep = keep.masked_fill(reset[..., None], 0)
        output = linear_recurrence(keep, write * candidate, state)
        return output, output[-1:]


def linear_recurrence(factors: Tensor, terms: Tensor, state: Tensor | None = None) -> Tensor:
    """``h[t] = factors[t] h[t-1] + terms[t]`` for all t, in about log2(T) rounds.

    Before a round, row t is the sum over the last d steps, and its factor their product; the round
    adds the d steps before them (Hillis & Steele 1986).

    Args:
        factors: ``[T, ...]``, of magnitude at most 1: products of larger ones may overflow.
        terms: ``[T, ...]``.
        state: h before the first step, ``[1, ...]``; default: zeros.

    Returns:
        ``[T, ...]``.
    """
    if state is not None:
        terms = torch.cat((terms[:1] + factors[:1] * state, terms[1:]))
    steps = 1
    while steps < len(terms):
        earlier = factors[steps:] * terms[:-steps]
        terms = torch.cat((terms[:steps], terms[steps:] + earlier))
        factors = torch.cat((factors[:steps], factors[steps:] * factors[:-steps]))
        steps *= 2
    return terms
