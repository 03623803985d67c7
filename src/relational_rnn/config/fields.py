"""How a field of a configuration is declared, and all that follows from a declaration.

A field is declared once, with :func:`option` and a docstring below it. From that follow its check,
its type in words, its command line option and help, whether it has an effect, whether a checkpoint
records it and whether it may change on resume.
"""

import dataclasses
import inspect
import math
import types
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import UserError
from ..printable import quoted

Group = Literal["core", "model", "optimisation", "data", "run"]
GROUPS: tuple[Group, ...] = get_args(Group)

WIDTH = 65_536
LAYERS = 1_000
SLOTS = 4_096
BATCH = 1_000_000
EXAMPLES = 10_000_000
WORDS = 1_000_000_000
STEPS = 10**12
"""Limits of fields of one kind, see :attr:`Option.limit`. Whether a model of such sizes fits into
memory is another question."""

MAGNITUDE = 1e18
"""Limit of the size of every other number. The product of two and a root of a width is a float32.
"""


@dataclass(frozen=True, kw_only=True)
class Option:
    """A declared field.

    Attributes:
        name: of the field.
        hint: its type.
        default: its default.
        group: heading in the help; None: not an option of the command line.
        at_least: smallest value; for a tuple or list, of each element. None is never checked.
        above: number below all values.
        at_most: largest value.
        below: number above all values.
        limit: largest value that is taken for meant: far above any use, but small enough that its
            arithmetic does not overflow. Every integer has a limit, ``at_most`` or ``below``; for a
            number without any, ``MAGNITUDE`` is its limit.
        only: another field, then its values with which this one has an effect.
        unless: another field, then its values with which this one has no effect.
        decides: what depends on it, so that a checkpoint records it: the shapes of the parameters
            ("model") or the examples of a generated task ("task").
        resumable: whether it may change when a run is resumed.
        prominent: whether the short help shows it.
    """

    name: str
    hint: Any
    default: Any
    group: Group | None = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    limit: int | None = None
    only: tuple[Any, ...] = ()
    unless: tuple[Any, ...] = ()
    decides: Literal["model", "task"] | None = None
    resumable: bool = False
    prominent: bool = False

    @property
    def type_in_words(self) -> str:
        """What kind of value it is, for people."""
        return describe(self.hint)

    @property
    def range_in_words(self) -> str:
        """The range of its values, for people; empty without one."""
        low = self.at_least if self.at_least is not None else self.above
        high = self.at_most if self.at_most is not None else self.below
        if low is not None and high is not None:
            opening = "(" if self.at_least is None else "["
            closing = "]" if self.below is None else ")"
            return f"in {opening}{low}, {high}{closing}"
        if low is not None:
            return f"{'at least' if low == self.at_least else 'above'} {low}"
        if high is not None:
            return f"{'at most' if high == self.at_most else 'below'} {high}"
        return ""

    @property
    def flag(self) -> str:
        """Its option on the command line."""
        return "--" + self.name.replace("_", "-")

    def check(self, value: object) -> None:
        """Raise :class:`UserError` unless ``value`` is in range."""
        if value == "" and self.group is not None:
            raise must_be(self.name, "a name", value)
        bounded = (self.limit, self.at_most, self.below) != (None, None, None)
        numbers = value if isinstance(value, list | tuple) else [value]
        for number in numbers:
            if not isinstance(number, int | float):
                continue
            if not abs(number) < math.inf:  # or NaN
                raise must_be(self.name, "finite", value)
            if not self._allows(number):
                raise must_be(self.name, self.range_in_words, value)
            if self.limit is not None and number > self.limit:
                raise must_be(self.name, f"at most {self.limit:,}", value)
            if not bounded and abs(number) > MAGNITUDE:
                raise must_be(self.name, f"at most {MAGNITUDE:g} in size", value)

    def no_effect(self, config: object) -> str:
        """Why it changes nothing in ``config``; empty if it does."""
        for condition, wanted in ((self.only, True), (self.unless, False)):
            if condition and (getattr(config, condition[0]) in condition[1:]) is not wanted:
                return f"{condition[0]} is {getattr(config, condition[0])}"
        return ""

    def _allows(self, number: float) -> bool:
        return (
            (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )


def option(default: Any, **rules: Any) -> Any:
    """Declare a field of a configuration: its default, and attributes of :class:`Option`."""
    return dataclasses.field(default=default, metadata=rules)


def options(config_class: type) -> dict[str, Option]:
    """The declarations of all fields of a configuration, by name."""
    return _options(config_class)


@cache
def _options(config_class: type) -> dict[str, Option]:
    hints = get_type_hints(config_class)
    return {
        field.name: Option(
            name=field.name, hint=hints[field.name], default=field.default, **field.metadata
        )
        for field in dataclasses.fields(config_class)
    }


def help_texts(config_class: type) -> dict[str, str]:
    """The docstrings of all fields, inherited ones too, each on one line."""
    from docstring_parser import parse_from_object

    found: dict[str, str] = {}
    for parent in reversed(inspect.getmro(config_class)):
        if parent is not object:
            for parameter in parse_from_object(parent).params:
                found[parameter.arg_name] = " ".join((parameter.description or "").split())
    return found


def deciding(config_class: type, *what: str) -> list[str]:
    """The fields that decide the shapes of parameters ("model") or what is asked ("task")."""
    return [name for name, field in options(config_class).items() if field.decides in what]


class Config:
    """A configuration whose fields are declared with :func:`option`."""

    def __post_init__(self) -> None:
        for name, declared in options(type(self)).items():
            declared.check(getattr(self, name))

    def without_effect(self) -> dict[str, str]:
        """Fields that change nothing in this configuration, each with the reason."""
        reasons = {name: field.no_effect(self) for name, field in options(type(self)).items()}
        return {name: reason for name, reason in reasons.items() if reason}


def must_be(name: str, wanted: str, value: object) -> UserError:
    """The error for a wrong value of a field."""
    return UserError(f"{name}: must be {wanted}, got {quoted(value)}")


def one_of(choices: Iterable[object]) -> str:
    """A list of choices in words."""
    return "one of " + ", ".join("null" if choice is None else str(choice) for choice in choices)


def nearest(name: str, valid: Iterable[str], *, prefix: str = "") -> str:
    """``"; did you mean X?"`` for the valid name nearest to ``name``; empty without one.

    ``prefix``, such as "--", stands before the name that is suggested.
    """
    found = get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return f"; did you mean {prefix}{found[0]}?" if found else ""


def describe(hint: Any) -> str:
    """The values of a type in words."""
    if get_origin(hint) is Literal:
        return one_of(get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        parts = [describe(part) for part in get_args(hint) if part is not type(None)]
        if type(None) not in get_args(hint):
            return " or ".join(parts)
        choices = len(parts) == 1 and parts[0].startswith("one of ")
        return f"{parts[0]}, null" if choices else " or ".join([*parts, "null"])
    if get_origin(hint) is list:
        return f"a list of {describe(get_args(hint)[0]).removeprefix('an ').removeprefix('a ')}s"
    if get_origin(hint) is tuple:
        return f"{len(get_args(hint))} numbers"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "text"}
    return names.get(hint, str(hint))
