"""Softmax temperature: sharpen or flatten all predictions (Guo et al. 2017, section 4.2)."""

from typing import Unpack

import torch
from torch import Tensor

from ..models.language_model import LanguageModel
from .perplexity import Score
from .streaming import Reading, Tokens, over_text

TEMPERATURES = tuple(number / 20 for number in range(16, 26))  # 0.80 ... 1.25
ROWS = 128  # predictions over the whole vocabulary held in memory at a time


def tempered_losses(
    model: LanguageModel,
    tokens: Tokens,
    temperatures: tuple[float, ...],
    *,
    title: str = "temperature",
    **reading: Unpack[Reading],
) -> Tensor:
    """Loss of every token with probabilities raised to 1/temperature and renormalized.

    Args:
        model: a language model.
        tokens: ids ``[N]`` of the text.
        temperatures: K temperatures above 0; 1 leaves the model unchanged.
        title: of the progress display.
        **reading: as in :func:`.perplexity.token_losses`.

    Returns:
        ``[N, K]`` in nats.

    Raises:
        ValueError: a temperature is not above 0; also as :func:`.perplexity.token_losses`.
    """
    if min(temperatures) <= 0:
        raise ValueError(f"temperatures must be above 0, got {temperatures}")

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

    return over_text(model, tokens, losses, title=title, **reading)


def tune(model: LanguageModel, tokens: Tokens, **reading: Unpack[Reading]) -> float:
    """The best of ``TEMPERATURES`` on a text, which must not be the text to report on."""
    losses = tempered_losses(model, tokens, TEMPERATURES, title="tuning temperature", **reading)
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
