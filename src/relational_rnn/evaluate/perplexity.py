"""Perplexity: exp(total negative log-likelihood / number of tokens), each token counted once."""

import math
from collections.abc import Mapping
from typing import NamedTuple, Self, Unpack

from torch import Tensor

from ..models.language_model import LanguageModel
from ..tasks.language_modeling import TextSize
from .streaming import TitledReading, Tokens, over_text


def perplexity(loss: float) -> float:
    """exp(loss), infinite where the result would overflow."""
    return math.exp(loss) if loss < 700 else math.inf


class Score(NamedTuple):
    """Loss and perplexity of a text."""

    loss: float
    """Negative log-likelihood in nats per token."""

    perplexity: float
    """exp(loss)."""

    tokens: int
    """Number of predicted tokens: all tokens of the text."""

    @classmethod
    def of(cls, losses: Tensor) -> Self:
        """Average the losses ``[N]`` of all tokens."""
        loss = losses.double().mean().item()
        return cls(loss, perplexity(loss), losses.numel())


def in_other_units(score: Score, size: TextSize | None) -> dict[str, float]:
    """The same loss for each word and each character, where the tokens are neither.

    Args:
        score: of a text in characters or parts of words.
        size: of the same text; None: the tokens are words.

    Returns:
        "perplexity_per_word" and "bits_per_character"; nothing without a size.
    """
    if size is None:
        return {}
    nats = score.loss * score.tokens
    return {
        "perplexity_per_word": perplexity(nats / size.words),
        "bits_per_character": nats / math.log(2) / size.characters,
    }


def describe_units(scores: Mapping[str, float]) -> str:
    """What :func:`in_other_units` gave, in words; "" for nothing."""
    if "perplexity_per_word" not in scores:
        return ""
    return (
        f"{scores['perplexity_per_word']:,.2f} per word, "
        f"{scores['bits_per_character']:.3f} bits per character"
    )


def token_losses(model: LanguageModel, tokens: Tokens, **reading: Unpack[TitledReading]) -> Tensor:
    """Negative log-likelihood of every token given all tokens before it.

    The memory is carried from the first token to the last. ``batch_size`` and ``bptt`` affect the
    speed, not the result (see :mod:`.streaming`).

    Args:
        model: runs on the device of its parameters.
        tokens: ids ``[N]`` of the text.
        **reading: ``start``, the id that precedes the first token, ``<eos>``; ``batch_size``,
            pieces of the text to read in parallel (32); ``bptt``, tokens per piece and call (100);
            ``precision``, "32" or "bf16-mixed"; ``title`` of the progress display ("evaluating").

    Returns:
        ``[N]`` float32 in nats, on the CPU.

    Raises:
        ValueError: the text is empty, a size is below 1, or the precision is unknown.
    """

    def loss(hidden: Tensor, targets: Tensor) -> Tensor:
        return model.head.loss(hidden, targets, reduction="none").float()  # [T, B]

    return over_text(model, tokens, loss, **reading)


def evaluate(model: LanguageModel, tokens: Tokens, **reading: Unpack[TitledReading]) -> Score:
    """Perplexity of a text; arguments and errors as in :func:`token_losses`.

    In float32, the results for any ``batch_size`` and ``bptt`` agree to a relative 1e-5. In
    bf16-mixed they agree to about 1e-3, since products of different numbers of rows round
    differently, and they differ from float32 by the error of bfloat16. Publish float32 figures.
    """
    return Score.of(token_losses(model, tokens, **reading))
