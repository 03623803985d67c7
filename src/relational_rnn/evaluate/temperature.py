"""Softmax temperature: sharpen or flatten all predictions alike (Guo et al. 2017, section 4.2)."""

from typing import Unpack

import torch
from torch import Tensor

from ..models.language_model import LanguageModel
from .perplexity import Score
from .streaming import Reading, Tokens, over_text

TEMPERATURES = tuple(number / 20 for number in range(16, 26))  # 0.80 ... 1.25
ROWS = 128  # predictions held at once over the whole vocabulary


def tempered_losses(
    model: LanguageModel,
    tokens: Tokens,
    temperatures: tuple[float, ...],
    **reading: Unpack[Reading],
) -> Tensor:
    """Loss of every token when probabilities are raised to 1/temperature and normalised again.

    Args:
        model: a language model.
        tokens: ids of the text, N of them.
        temperatures: K of them, above 0; 1 changes nothing.
        **reading: as in `token_losses`.

    Returns:
        ``[N, K]`` in nats.
    """
    if min(temperatures) <= 0:
        raise ValueError(f"temperatures is {temperatures}; it takes numbers above 0")

    def losses(hidden: Tensor, targets: Tensor) -> Tensor:
        found = [
            _tempered(model.head.log_probabilities(rows).float(), words, temperatures)
            for rows, words in zip(
                torch.split(hidden.flatten(0, 1), ROWS),
                torch.split(targets.flatten(), ROWS),
                strict=True,
            )
        ]
        return torch.cat(found).view(*targets.shape, len(temperatures))  # [T, B, K]

    return over_text(model, tokens, losses, **reading)


def tune(model: LanguageModel, tokens: Tokens, **reading: Unpack[Reading]) -> float:
    """The best of ``TEMPERATURES`` on a text, which must not be the one to be reported."""
    losses = tempered_losses(model, tokens, TEMPERATURES, **reading)
    return TEMPERATURES[int(losses.double().mean(0).argmin())]


def evaluate(
    model: LanguageModel, tokens: Tokens, temperature: float, **reading: Unpack[Reading]
) -> Score:
    """Perplexity at a temperature."""
    return Score.of(tempered_losses(model, tokens, (temperature,), **reading))


def _tempered(log_probabilities: Tensor, words: Tensor, temperatures: tuple[float, ...]) -> Tensor:
    """``[R, V]``, ``[R]`` -> ``[R, K]``."""
    own = log_probabilities.gather(1, words[:, None]).squeeze(1)
    losses = [
        (log_probabilities / temperature).logsumexp(1) - own / temperature
        for temperature in temperatures
    ]
    return torch.stack(losses, 1)
