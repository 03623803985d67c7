"""Checks of arguments; the error names the argument, what is allowed, and the value."""

from collections.abc import Sequence
from itertools import pairwise
from math import isnan
from numbers import Integral, Real

import torch
from torch import Tensor

MOST = 2**31 - 1
"""The largest count; PyTorch reports larger sizes as overflows that name no argument."""


def check_count(name: str, value: object, *, least: int = 1) -> int:
    """The value as an int; NumPy's integers are converted.

    Raises:
        ValueError: it is not an integer of at least `least` and at most `MOST`.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    count = int(value)
    if count > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {value!r}")
    return count


def check_number(name: str, value: object) -> None:
    """Raise a ValueError if the value is not a real number; infinities are allowed, NaN is not."""
    if isinstance(value, bool) or not isinstance(value, Real) or isnan(value):
        raise ValueError(f"{name} must be a number, got {value!r}")


def check_share(name: str, value: object) -> None:
    """Raise a ValueError if the value is not in ``[0, 1)``."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value!r}")


def check_cutoffs(cutoffs: Sequence[int], vocabulary_size: int) -> None:
    """Raise a ValueError if the cutoffs do not increase within ``1..vocabulary_size - 1``."""
    increasing = all(low < high for low, high in pairwise([0, *cutoffs, vocabulary_size]))
    if not cutoffs or not increasing:
        raise ValueError(
            f"cutoffs must be at least one integer, increasing, all from 1 to "
            f"{vocabulary_size - 1} (the vocabulary has {vocabulary_size} words), got "
            f"{list(cutoffs)}"
        )


def check_tensor(name: str, value: object) -> None:
    """Raise a TypeError if the value is not a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a tensor, got a {type(value).__name__}")


def check_sequence(inputs: Tensor) -> None:
    """Raise if it is not a tensor ``[T, B, I]`` of at least one step."""
    check_tensor("inputs", inputs)
    if inputs.dim() != 3 or not len(inputs):
        raise ValueError(
            "inputs must have shape [T, B, I], with at least one step (T), got "
            f"{list(inputs.shape)}"
        )


def check_reset(reset: Tensor, shape: tuple[int, int]) -> None:
    """Raise if it is not a bool tensor of that shape."""
    check_tensor("reset", reset)
    if reset.shape != shape or reset.dtype != torch.bool:
        raise ValueError(
            f"reset must be bool with shape {list(shape)}, got {reset.dtype} with shape "
            f"{list(reset.shape)}"
        )


def check_state(name: str, state: Tensor, shape: tuple[int, int, int]) -> None:
    """Raise if it is not a tensor of floating-point numbers of that shape."""
    check_tensor(name, state)
    if state.shape != shape or not state.is_floating_point():
        raise ValueError(
            f"{name} must be floating-point numbers with shape {list(shape)}, got {state.dtype} "
            f"with shape {list(state.shape)}"
        )
