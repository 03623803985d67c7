"""Give a model the same number of weights as another one by choosing the width of its core."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..config import GeneratedConfig
from ..config.fields import WIDTH
from ..errors import UserError
from ..registry import build_model

TOLERANCE = 0.01
"""Largest difference in the number of weights, as a share."""

WIDTHS = {
    "rmc": ("head_size", "key_size"),
    "lstm": ("hidden_size", "readout_size"),
    "lstm-loop": ("hidden_size", "readout_size"),
    "gru": ("hidden_size", "readout_size"),
    "transformer": ("hidden_size", "feedforward_size"),
}
"""Of each core the field that decides its width, and one that changes its size in smaller steps."""


def count_weights(config: GeneratedConfig) -> int:
    """Number of parameters of a configuration's whole model; nothing is allocated."""
    import torch  # slow, and `rrnn list` names suites

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_model(config).parameters())


def of_equal_size(config: GeneratedConfig, weights: int) -> GeneratedConfig:
    """The configuration with another width of its core, so that the model has that many weights.

    The largest width with at most as many weights is taken, or the next one if it is nearer. If
    neither is within ``TOLERANCE``, the smaller one gets larger keys (rmc), a wider MLP
    (transformer), or a wider readout (lstm, gru).

    Raises:
        UserError: no width is within ``TOLERANCE``.
    """
    width, finer = WIDTHS[config.model]
    step = 2 * config.num_heads if config.model == "transformer" else 1

    def wide(number: int) -> GeneratedConfig:
        return _with(config, **{width: number * step})

    most = WIDTH // step
    number = _largest(wide, most, weights)
    found = [wide(each) for each in (number, number + 1) if 1 <= each <= most]
    if number >= 1:
        narrow = wide(number)

        def fine(number: int) -> GeneratedConfig:
            return _with(narrow, **{finer: number})

        size = _largest(fine, WIDTH, weights)
        found += [fine(each) for each in (size, size + 1) if 1 <= each <= WIDTH]
    for candidate in found:
        if _off(candidate, weights) <= TOLERANCE:
            return candidate
    nearest = min(found, key=lambda candidate: _off(candidate, weights))
    raise UserError(
        f"{config.model}: no {width} gives {weights:,} weights within {TOLERANCE:.0%}, the nearest "
        f"are {count_weights(nearest):,}; change the sizes of the first core or of this one"
    )


def _with(config: GeneratedConfig, **fields: Any) -> GeneratedConfig:
    """The configuration with other values of some fields."""
    return replace(config, **fields)


def _off(config: GeneratedConfig, weights: int) -> float:
    """The difference in weights, as a share."""
    return abs(count_weights(config) / weights - 1)


def _largest(made: Callable[[int], GeneratedConfig], most: int, weights: int) -> int:
    """The largest number from 1 to ``most`` whose model has at most ``weights``; 0 for none."""
    low, high = 0, 1
    while high <= most and count_weights(made(high)) <= weights:
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if count_weights(made(middle)) <= weights:
            low = middle
        else:
            high = middle
    return low
