"""Neural cache (Grave, Joulin and Usunier 2016, arXiv 1612.04426, equations 2 and 3).

The words that followed the last ``window`` hidden states are likely to come again where the hidden
state is like theirs:

    p(w) = (1 - weight) p_model(w) + weight p_cache(w),
    p_cache(w) proportional to the sum over i of [w = x_{i+1}] exp(theta h_t . h_i).

The hidden state is what the output head is fed with. Nothing is trained.

Letters: N tokens, E features, Q queries at once, S words in reach of them.
"""

from itertools import product
from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from ..models.language_model import LanguageModel
from .perplexity import Score
from .streaming import Reading, Tokens, as_ids, over_text

QUERIES = 256

WINDOWS = (500, 2000)
WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
SHARPNESS = (1.0, 3.0, 10.0, 30.0)
"""Values of theta to try, each divided by the mean of h . h: how far the logit of a word seen in
the very same state is above that of a word seen in an unrelated one. Widths and norms of hidden
states differ too much between models for the paper's values to be tried on all."""


class Cache(NamedTuple):
    """What the method has to be told."""

    theta: float
    """Sharpness; 0 makes it a unigram cache."""

    weight: float
    """Share of the cache in the mixture, the paper's lambda."""

    window: int
    """Words that the cache holds."""


def remember(
    model: LanguageModel, tokens: Tokens, **reading: Unpack[Reading]
) -> tuple[Tensor, Tensor]:
    """Hidden states ``[N, E]`` from which the tokens were predicted, and their losses ``[N]``.

    Both are float32 on the CPU: a text of a million words and 512 features takes 2 GB.
    """

    def both(hidden: Tensor, targets: Tensor) -> Tensor:
        losses = model.head.loss(hidden, targets, reduction="none")  # [T, B]
        return torch.cat([hidden.float(), losses.float().unsqueeze(-1)], -1)

    found = over_text(model, tokens, both, **reading)
    return found[:, :-1], found[:, -1]


def cache_probabilities(hidden: Tensor, words: Tensor, *, theta: float, window: int) -> Tensor:
    """Probability that the cache gives to each word of a text.

    Args:
        hidden: ``[N, E]``, the state from which each word was predicted.
        words: ``[N]`` ids.
        theta: sharpness.
        window: number of words before each that are remembered, at least 1.

    Returns:
        ``[N]``; the first is NaN, for the cache is empty then.
    """
    found = []
    for first in range(0, len(words), QUERIES):
        last = min(first + QUERIES, len(words))
        begin = max(first - window, 0)
        logits = theta * hidden[first:last] @ hidden[begin:last].T  # [Q, S]
        query = torch.arange(first, last)[:, None]
        key = torch.arange(begin, last)
        remembered = (key < query) & (key >= query - window)
        shares = logits.masked_fill(~remembered, -torch.inf).softmax(1)
        found.append((shares * (words[first:last, None] == words[begin:last])).sum(1))
    return torch.cat(found)


def mix(losses: Tensor, cached: Tensor, weight: float) -> Tensor:
    """Loss of the mixture ``[N]``; where the cache is empty the model stands alone."""
    mixed = -torch.log((1 - weight) * torch.exp(-losses.double()) + weight * cached.double())
    return torch.where(cached.isnan(), losses.double(), mixed)


def tune(model: LanguageModel, tokens: Tokens, **reading: Unpack[Reading]) -> Cache:
    """The best settings of a small grid on a text, which must not be the one to be reported."""
    hidden, losses = remember(model, tokens, **reading)
    words = as_ids(tokens)
    scale = hidden.square().sum(1).mean().item()
    results: dict[Cache, float] = {}
    for sharpness, window in product(SHARPNESS, WINDOWS):
        theta = sharpness / scale
        cached = cache_probabilities(hidden, words, theta=theta, window=window)
        for weight in WEIGHTS:
            results[Cache(theta, weight, window)] = mix(losses, cached, weight).mean().item()
    return min(results, key=results.__getitem__)


def evaluate(
    model: LanguageModel, tokens: Tokens, cache: Cache, **reading: Unpack[Reading]
) -> Score:
    """Perplexity with a neural cache, which is empty at the beginning of the text."""
    hidden, losses = remember(model, tokens, **reading)
    words = as_ids(tokens)
    cached = cache_probabilities(hidden, words, theta=cache.theta, window=cache.window)
    return Score.of(mix(losses, cached, cache.weight))
