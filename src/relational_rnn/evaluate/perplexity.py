"""Perplexity: exp(total negative log-likelihood / number of tokens), every token counted once."""

import math
from typing import NamedTuple, Self, Unpack

from torch import Tensor

from ..models.language_model import LanguageModel
from .streaming import Reading, Tokens, over_text


class Score(NamedTuple):
    """How well a text was predicted."""

    loss: float
    """Negative log-likelihood in nats per token."""

    perplexity: float
    """exp(loss)."""

    tokens: int
    """Number of tokens that were predicted: all of the text's."""

    @classmethod
    def of(cls, losses: Tensor) -> Self:
        """Sum up the loss of every token ``[N]``."""
        loss = losses.double().mean().item()
        return cls(loss, math.exp(loss) if loss < 700 else math.inf, losses.numel())


def token_losses(model: LanguageModel, tokens: Tokens, **reading: Unpack[Reading]) -> Tensor:
    """Negative log-likelihood of every token given all the tokens before it.

    The memory is carried from the first token to the last; ``batch_size`` and ``bptt`` decide how
    fast, not what comes out (see `.stream`).

    Args:
        model: runs on the device of its parameters.
        tokens: ids of the text, N of them.
        **reading: ``start``, the id that stands before the first token, ``<eos>``; ``batch_size``,
            pieces of the text to read side by side (32); ``bptt``, tokens of a piece to read in
            one call (100); ``precision``, "32" or "bf16-mixed".

    Returns:
        ``[N]`` float32 in nats, on the CPU.

    Raises:
        ValueError: an empty text, a size below 1, an unknown precision.
    """

    def loss(hidden: Tensor, targets: Tensor) -> Tensor:
        return model.head.loss(hidden, targets, reduction="none").float()  # [T, B]

    return over_text(model, tokens, loss, **reading)


def evaluate(model: LanguageModel, tokens: Tokens, **reading: Unpack[Reading]) -> Score:
    """Perplexity of a text; arguments and errors are those of `token_losses`.

    In float32 the same to a relative 1e-5 for any ``batch_size`` and ``bptt``. In bf16-mixed the
    products round differently when more or fewer rows are multiplied at once: the same to about
    1e-3, and as far from float32 as bfloat16 is. Take float32 for a figure to publish.
    """
    return Score.of(token_losses(model, tokens, **reading))
