"""Argument checks shared by the tasks: one-line errors that name the argument and its value."""

from collections.abc import Collection
from difflib import get_close_matches
from operator import index

from ..errors import UserError


class InvalidArgumentError(UserError, ValueError):
    """A wrong argument of a task: a ``ValueError`` in Python, one line on the command line."""


def at_least(name: str, value: int, minimum: int) -> int:
    """Return ``value`` as an ``int``.

    Raises:
        InvalidArgumentError: ``value`` is not an integer, or is below ``minimum``.
    """
    try:
        number = index(value)
    except TypeError:
        number = minimum - 1
    if isinstance(value, bool) or number < minimum:
        raise InvalidArgumentError(
            f"{name} must be an integer of at least {minimum}, got {value!r}"
        )
    return number


def between(name: str, value: int, minimum: int, maximum: int) -> int:
    """Return ``value`` as an ``int``; the maximum keeps a typo from filling the memory.

    Raises:
        InvalidArgumentError: ``value`` is not an integer, or out of range.
    """
    number = at_least(name, value, minimum)
    if number > maximum:
        raise InvalidArgumentError(f"{name} must be at most {maximum:,}, got {value!r}")
    return number


def one_of(name: str, value: str, choices: Collection[str]) -> str:
    """Return ``value``.

    Raises:
        InvalidArgumentError: ``value`` is not one of ``choices``; the closest one is suggested.
    """
    if value in choices:
        return value
    nearest = get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise InvalidArgumentError(
        f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}{hint}"
    )
