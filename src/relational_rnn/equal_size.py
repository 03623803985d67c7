"""Give a model the same number of weights as another one by choosing the width of its core."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from .config import LanguageModelingConfig, TaskConfig
from .config.fields import WIDTH, options
from .errors import UserError
from .registry import build_model

Config = TypeVar("Config", bound=TaskConfig)

TOLERANCE = 0.01
"""Largest difference in the number of weights, as a share."""

WIDTHS = {
    "rmc": ("head_size", "key_size"),
    "lstm": ("hidden_size", "readout_size"),
    "lstm-loop": ("hidden_size", "readout_size"),
    "gru": ("hidden_size", "readout_size"),
    "mingru": ("hidden_size", "readout_size"),
    "transformer": ("hidden_size", "feedforward_size"),
}
"""Of each core the field that decides its width, and one that changes its size in smaller steps,
where the task has it."""


def count_weights(config: TaskConfig, **sizes: int) -> int:
    """Number of parameters of a configuration's whole model; nothing is allocated.

    Args:
        config: its task, and all fields of the model.
        **sizes: of a text, see :func:`.registry.build_model`.

    Raises:
        UserError: there is no such model.
    """
    import torch  # slow, and `rrnn list` names suites

    try:
        with torch.device("meta"):
            model = build_model(config, **sizes)
    except ValueError as error:
        raise UserError(str(error)) from error
    return sum(parameter.numel() for parameter in model.parameters())


def nearest_size(config: Config, weights: int, **sizes: int) -> Config:
    """The configuration with another width of its core, for about that many weights.

    The largest width with at most as many weights is taken, or the next one if only that is within
    ``TOLERANCE``, or one that needs no projection to the embedding. If none is, the smaller one
    gets larger keys (rmc), a wider MLP (transformer), or in a generated task a wider readout (lstm,
    gru, mingru). If that is not within ``TOLERANCE`` either, the nearest of all these is taken.

    Args:
        config: the configuration.
        weights: number of weights.
        **sizes: of a text, see :func:`.registry.build_model`.

    Raises:
        UserError: the narrowest core has more weights, or the widest one fewer.
    """
    width, finer = WIDTHS[config.model]
    step = 2 * config.num_heads if config.model == "transformer" else 1

    def wide(number: int) -> Config:
        return _with(config, **{width: number * step})

    def off(candidate: Config) -> int:
        return abs(count_weights(candidate, **sizes) - weights)

    most = WIDTH // step
    number = _largest(wide, most, weights, **sizes)
    if not 1 <= number < most:
        end, than = ("narrowest", "more") if number < 1 else ("widest", "fewer")
        count = count_weights(wide(max(number, 1)), **sizes)
        raise UserError(
            f"{config.model}: the {end} core gives {count:,} weights, {than} than {weights:,}; "
            "change the other sizes of one of the models"
        )
    # The count falls at the width that needs no projection: below it there may be a nearer one.
    below = _largest(wide, number - 1, weights, **sizes)
    numbers = dict.fromkeys((number, number + 1, below, below + 1, _without_projection(config)))
    found = [wide(each) for each in numbers if each >= 1]
    if finer in options(type(config)):
        narrow = wide(number)

        def fine(number: int) -> Config:
            return _with(narrow, **{finer: number})

        size = _largest(fine, WIDTH, weights, **sizes)
        found += [fine(each) for each in (size, size + 1) if 1 <= each <= WIDTH]
    near = (candidate for candidate in found if off(candidate) <= TOLERANCE * weights)
    return next(near, None) or min(found, key=off)


def of_equal_size(config: Config, weights: int) -> Config:
    """As :func:`nearest_size`, within ``TOLERANCE``.

    Raises:
        UserError: no width is.
    """
    nearest = nearest_size(config, weights)
    count = count_weights(nearest)
    if abs(count / weights - 1) <= TOLERANCE:
        return nearest
    raise UserError(
        f"{config.model}: no {WIDTHS[config.model][0]} gives {weights:,} weights within "
        f"{TOLERANCE:.0%}, the nearest are {count:,}; change the sizes of the first core or of "
        "this one"
    )


def _without_projection(config: TaskConfig) -> int:
    """The width of a language model's core whose output is as wide as the embedding; 0 for none."""
    if not isinstance(config, LanguageModelingConfig):
        return 0
    units = config.num_heads * config.mem_slots if config.model == "rmc" else 1
    units *= config.num_layers if config.skip else 1
    width, rest = divmod(config.embedding_size, units)
    return 0 if rest else width


def _with(config: Config, **fields: Any) -> Config:
    """The configuration with other values of some fields."""
    return replace(config, **fields)


def _largest(made: Callable[[int], TaskConfig], most: int, weights: int, **sizes: int) -> int:
    """The largest number from 1 to ``most`` whose model has at most ``weights``; 0 for none."""
    low, high = 0, 1
    while high <= most and count_weights(made(high), **sizes) <= weights:
        low, high = high, 2 * high
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if count_weights(made(middle), **sizes) <= weights:
            low = middle
        else:
            high = middle
    return low
