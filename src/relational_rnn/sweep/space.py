"""What is searched: the values that a field may take, as choices or as a range of numbers."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..config import TaskConfig
from ..config.fields import nearest
from ..config.files import parse
from ..errors import UserError

RANGE_KEYS = ("low", "high", "log", "step")
FEW = 100  # whole numbers that are all tried out beforehand


@dataclass(frozen=True)
class Choices:
    """One of several values, of any type."""

    values: tuple[Any, ...]

    @property
    def corners(self) -> tuple[Any, ...]:
        """The values that are tried out beforehand."""
        return self.values

    @property
    def stored(self) -> list[Any]:
        """The values as a study's storage can hold them: plain ones, a list as text."""
        return [
            json.dumps(value) if isinstance(value, list | tuple) else value for value in self.values
        ]

    def as_plain(self) -> Any:
        """As in a sweep's file."""
        return [list(value) if isinstance(value, tuple) else value for value in self.values]


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included; integers if both are."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def corners(self) -> tuple[Any, ...]:
        """The values that are tried out beforehand: of a few whole numbers all."""
        if self.whole:
            all_of_them = range(int(self.low), int(self.high) + 1, int(self.step or 1))
            if len(all_of_them) <= FEW:
                return tuple(all_of_them)
        return self.low, self.high

    @property
    def whole(self) -> bool:
        """Whether only integers are meant."""
        return isinstance(self.low, int)

    def as_plain(self) -> Any:
        """As in a sweep's file."""
        return {key: value for key, value in asdict(self).items() if value not in (None, False)}


Dimension = Choices | Range


def read_dimension(config_class: type[TaskConfig], name: str, given: Any) -> Dimension:
    """What a line of the space says: a list of choices, or low and high.

    Args:
        config_class: the configuration that has the field.
        name: of the field.
        given: what the file says.

    Raises:
        UserError: it says something else, or a value is not of the field's type.
    """
    if isinstance(given, Mapping):
        return _range(config_class, name, given)
    if not isinstance(given, list):
        raise UserError(
            f"{name}: {given!r} is no space; it takes a list of choices or low: and high:"
        )
    if not given:
        raise UserError(f"{name}: has no choice to take")
    values = tuple(parse(config_class, name, value) for value in given)
    for place, value in enumerate(values):
        if value in values[:place]:
            raise UserError(f"{name}: {value!r} is there twice")
    return Choices(values)


def _range(config_class: type[TaskConfig], name: str, given: Mapping[Any, Any]) -> Range:
    for key in given:
        if key not in RANGE_KEYS:
            hint = nearest(str(key), RANGE_KEYS) or f"; it takes {', '.join(RANGE_KEYS)}"
            raise UserError(f"{name}: {key}: is not part of a range{hint}")
    if missing := {"low", "high"} - given.keys():
        raise UserError(f"{name}: {' and '.join(sorted(missing))} is missing")
    low, high = (parse(config_class, name, given[key]) for key in ("low", "high"))
    if not _is_number(low) or not _is_number(high):
        raise UserError(f"{name}: low and high are for numbers; it takes a list of choices")
    if low >= high:
        raise UserError(f"{name}: low: {low} is not below high: {high}")
    log, step = given.get("log", False), given.get("step")
    if not isinstance(log, bool):
        raise UserError(f"{name}: log: {log!r} is not valid; it takes true or false")
    if log and low <= 0:
        raise UserError(
            f"{name}: low: {low} has no logarithm; it takes a number > 0 with log: true"
        )
    if step is not None:
        if log:
            raise UserError(f"{name}: step: {step} and log: true exclude each other")
        step = parse(config_class, name, step)
        if not _is_number(step) or step <= 0:
            raise UserError(f"{name}: step: {step!r} is not valid; it takes a number > 0")
        if step > (high - low) * (1 + 1e-9):  # but for rounding
            raise UserError(f"{name}: step: {step} leads past high: {high}; it takes a smaller one")
    return Range(low, high, log, step)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
