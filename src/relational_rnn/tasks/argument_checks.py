"""Checks of arguments that the tasks share: one clear line for whoever gave a wrong one."""

from collections.abc import Collection
from difflib import get_close_matches
from operator import index

from ..errors import UserError


class InvalidArgumentError(UserError, ValueError):
    """A wrong argument of a task: a ``ValueError`` in Python, one line on the command line."""


def at_least(name: str, value: int, minimum: int) -> int:
    """Return ``value`` as an ``int``; raise :class:`InvalidArgumentError` if it is too small."""
    try:
        number = index(value)
    except TypeError:
        number = minimum - 1
    if isinstance(value, bool) or number < minimum:
        raise InvalidArgumentError(
            f"{name} must be a whole number of at least {minimum}, not {value!r}"
        )
    return number


def one_of(name: str, value: str, choices: Collection[str]) -> str:
    """Return ``value``; raise :class:`InvalidArgumentError` with the nearest of ``choices``."""
    if value in choices:
        return value
    nearest = get_close_matches(str(value), choices, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise InvalidArgumentError(
        f"unknown {name} {value!r}{hint}; it takes one of {', '.join(map(repr, choices))}"
    )
