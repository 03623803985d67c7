"""Checks of field values, and the values' types told in words."""

import types
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin

from ..errors import UserError


def check(config: object, name: str, valid: bool, takes: str) -> None:
    """Raise :class:`UserError` naming the field, its value and what it takes, unless ``valid``."""
    if not valid:
        raise UserError(f"{name}: {getattr(config, name)!r} is out of range; it takes {takes}")


def check_at_least(config: object, minimum: int, *names: str) -> None:
    """Check that each of the fields is None or a number not below ``minimum``."""
    for name in names:
        value = getattr(config, name)
        valid = value is None or minimum <= value < float("inf")
        check(config, name, valid, f"a number >= {minimum}")


def check_positive(config: object, *names: str) -> None:
    """Check that each of the fields is None or a number above 0."""
    for name in names:
        value = getattr(config, name)
        check(config, name, value is None or 0 < value < float("inf"), "a number > 0")


def check_probability(config: object, *names: str) -> None:
    """Check that each of the fields lies in [0, 1)."""
    for name in names:
        check(config, name, 0 <= getattr(config, name) < 1, "a probability in [0, 1)")


def check_choice(config: object, name: str, choices: Iterable[object]) -> None:
    """Check that the field is one of ``choices``."""
    listed = list(choices)
    check(config, name, getattr(config, name) in listed, one_of(listed))


def one_of(choices: Iterable[object]) -> str:
    """Tell a list of choices in words."""
    return "one of " + ", ".join("null" if choice is None else str(choice) for choice in choices)


def nearest(name: str, valid: Iterable[str]) -> str:
    """``"; did you mean X?"`` for the valid name nearest to ``name``; empty without one."""
    found = get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f"; did you mean {found[0]}?" if found else ""


def describe(hint: Any) -> str:
    """What a field of this type takes, in words."""
    if get_origin(hint) is Literal:
        return one_of(get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        parts = [describe(part) for part in get_args(hint) if part is not type(None)]
        return " or ".join([*parts, "null"] if type(None) in get_args(hint) else parts)
    if get_origin(hint) is list:
        return f"a list of {describe(get_args(hint)[0])}s".replace("an ", "").replace(
            "of a ", "of "
        )
    if get_origin(hint) is tuple:
        return f"{len(get_args(hint))} numbers"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint, str(hint))
