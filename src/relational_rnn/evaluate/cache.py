"""Neural cache (Grave, Joulin and Usunier 2016, arXiv 1612.04426, equations 2 and 3).

The words that followed the last ``window`` hidden states become more likely where the current
hidden state is similar to theirs:

    p(w) = (1 - weight) p_model(w) + weight p_cache(w),
    p_cache(w) proportional to the sum over i of [w = x_{i+1}] exp(theta h_t . h_i).

The hidden state is the input of the output head. Nothing is trained.

Letters: N tokens, E features, Q queries per block, S words in their windows.
"""

from collections.abc import Callable
from itertools import product
from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from ..models.language_model import LanguageModel
from ..progress import progress
from .perplexity import Score
from .streaming import Reading, Tokens, as_ids, over_text

QUERIES = 256

WINDOWS = (500, 2000)
WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
SHARPNESS = (1.0, 3.0, 10.0, 30.0)
"""Values of theta to try, each divided by the mean of h . h: the difference in logits between words
seen in the same state and words seen in an orthogonal one. The paper's values do not suit all
models, whose hidden states differ in width and norm."""


class Cache(NamedTuple):
    """Settings of the neural cache."""

    theta: float
    """Sharpness; 0 gives a unigram cache."""

    weight: float
    """Weight of the cache in the mixture, the paper's lambda."""

    window: int
    """Number of words in the cache."""


def remember(
    model: LanguageModel, tokens: Tokens, **reading: Unpack[Reading]
) -> tuple[Tensor, Tensor]:
    """Hidden states ``[N, E]`` that predict the tokens, and the losses ``[N]`` of the model.

    Both are float32 on the CPU: a million words with 512 features take 2 GB.
    """

    def both(hidden: Tensor, targets: Tensor) -> Tensor:
        losses = model.head.loss(hidden, targets, reduction="none")  # [T, B]
        return torch.cat([hidden.float(), losses.float().unsqueeze(-1)], -1)

    found = over_text(model, tokens, both, title="computing hidden states", **reading)
    return found[:, :-1], found[:, -1]


def cache_probabilities(
    hidden: Tensor,
    words: Tensor,
    *,
    theta: float,
    window: int,
    advance: Callable[[int], None] | None = None,
) -> Tensor:
    """Probability that the cache assigns to each word of a text.

    Args:
        hidden: ``[N, E]``, the state that predicts each word.
        words: ``[N]`` ids.
        theta: sharpness.
        window: number of preceding words in the cache, at least 1.
        advance: called with the number of words done, see :func:`..progress.progress`.

    Returns:
        ``[N]``; NaN for the first word, where the cache is empty.
    """
    found = []
    for first in range(0, len(words), QUERIES):
        last = min(first + QUERIES, len(words))
        begin = max(first - window, 0)
        logits = theta * hidden[first:last] @ hidden[begin:last].T  # [Q, S]
        query = torch.arange(first, last)[:, None]
        key = torch.arange(begin, last)
        in_window = (key < query) & (key >= query - window)
        shares = logits.masked_fill(~in_window, -torch.inf).softmax(1)
        found.append((shares * (words[first:last, None] == words[begin:last])).sum(1))
        if advance is not None:
            advance(last - first)
    return torch.cat(found)


def mix(losses: Tensor, cached: Tensor, weight: float) -> Tensor:
    """Losses ``[N]`` of the mixture; where the cache is empty, the losses of the model."""
    mixed = -torch.log((1 - weight) * torch.exp(-losses.double()) + weight * cached.double())
    return torch.where(cached.isnan(), losses.double(), mixed)


def tune(model: LanguageModel, tokens: Tokens, **reading: Unpack[Reading]) -> Cache:
    """The best settings of a small grid on a text, which must not be the text to report on."""
    hidden, losses = remember(model, tokens, **reading)
    words = as_ids(tokens)
    scale = hidden.square().sum(1).mean().item()
    results: dict[Cache, float] = {}
    grid = list(product(SHARPNESS, WINDOWS))
    with progress("tuning the neural cache", len(grid) * len(words), unit="words") as advance:
        for sharpness, window in grid:
            theta = sharpness / scale
            cached = cache_probabilities(hidden, words, theta=theta, window=window, advance=advance)
            for weight in WEIGHTS:
                results[Cache(theta, weight, window)] = mix(losses, cached, weight).mean().item()
    return min(results, key=results.__getitem__)


def evaluate(
    model: LanguageModel, tokens: Tokens, cache: Cache, **reading: Unpack[Reading]
) -> Score:
    """Perplexity with a neural cache, which is empty at the start of the text."""
    hidden, losses = remember(model, tokens, **reading)
    words = as_ids(tokens)
    with progress("neural cache", len(words), unit="words") as advance:
        cached = cache_probabilities(
            hidden, words, theta=cache.theta, window=cache.window, advance=advance
        )
    return Score.of(mix(losses, cached, cache.weight))
