"""A searched field: its choices or range, as read from a file, sampled by Optuna and stored."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..config import TaskConfig
from ..config.fields import nearest
from ..config.files import parse
from ..errors import UserError

if TYPE_CHECKING:
    from optuna.trial import Trial

RANGE_KEYS = ("low", "high", "log", "step")
FEW = 100  # integers in a range, up to which all of them are checked beforehand


@dataclass(frozen=True)
class Choices:
    """One of several values, of any type."""

    values: tuple[Any, ...]

    @property
    def corners(self) -> tuple[Any, ...]:
        """The values that are checked before any trial is trained."""
        return self.values

    @property
    def stored(self) -> list[Any]:
        """The values as Optuna's storage can hold them: plain ones, a list as JSON text."""
        return [
            json.dumps(value) if isinstance(value, list | tuple) else value for value in self.values
        ]

    def as_plain(self) -> Any:
        """As in a sweep's file."""
        return [list(value) if isinstance(value, tuple) else value for value in self.values]

    def suggest(self, trial: "Trial", name: str) -> Any:
        """The value of the field in a trial: the stored one, or a new one from the sampler."""
        return self.from_stored(trial.suggest_categorical(name, self.stored))

    def from_stored(self, stored: Any) -> Any:
        """The value of the field from the one in Optuna's storage."""
        return self.values[self.stored.index(stored)]


@dataclass(frozen=True)
class Range:
    """A number from ``low`` to ``high``, both included; an integer if both are integers."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def corners(self) -> tuple[Any, ...]:
        """As :attr:`Choices.corners`: both ends, or all values of a short range of integers."""
        if self.whole:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            if (high - low) // step < FEW:
                return tuple(range(low, high + 1, step))
        return self.low, self.high

    @property
    def whole(self) -> bool:
        """Whether the values are integers."""
        return isinstance(self.low, int)

    def as_plain(self) -> Any:
        """As in a sweep's file."""
        return {key: value for key, value in asdict(self).items() if value not in (None, False)}

    def suggest(self, trial: "Trial", name: str) -> Any:
        """As :meth:`Choices.suggest`."""
        if self.whole:
            low, high, step = int(self.low), int(self.high), int(self.step or 1)
            return trial.suggest_int(name, low, high, step=step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def from_stored(self, stored: Any) -> Any:
        """As :meth:`Choices.from_stored`; numbers are stored as they are."""
        return stored


Dimension = Choices | Range


def read_dimension(config_class: type[TaskConfig], name: str, given: Any) -> Dimension:
    """Read one line of a sweep's space: a list of choices, or a mapping with low and high.

    Args:
        config_class: the configuration class that has the field.
        name: of the field.
        given: the value in the file.

    Raises:
        UserError: it is neither, or a value is not of the field's type.
    """
    if isinstance(given, Mapping):
        return _range(config_class, name, given)
    if not isinstance(given, list):
        raise UserError(
            f"{name}: must be a list of choices, or a range with low: and high:, got {given!r}"
        )
    if not given:
        raise UserError(f"{name}: the list of choices is empty")
    values = tuple(parse(config_class, name, value) for value in given)
    for place, value in enumerate(values):
        if value in values[:place]:
            raise UserError(f"{name}: {value!r} is listed twice")
    return Choices(values)


def _range(config_class: type[TaskConfig], name: str, given: Mapping[Any, Any]) -> Range:
    for key in given:
        if key not in RANGE_KEYS:
            hint = nearest(str(key), RANGE_KEYS) or f"; use {', '.join(RANGE_KEYS)}"
            raise UserError(f"{name}: {key}: not a key of a range{hint}")
    if missing := {"low", "high"} - given.keys():
        raise UserError(f"{name}: {' and '.join(sorted(missing))} is missing")
    low, high = (parse(config_class, name, given[key]) for key in ("low", "high"))
    if not _is_number(low) or not _is_number(high):
        raise UserError(f"{name}: low: and high: must be numbers; use a list of choices instead")
    if low >= high:
        raise UserError(f"{name}: low: must be below high: {high}, got {low}")
    log, step = given.get("log", False), given.get("step")
    if not isinstance(log, bool):
        raise UserError(f"{name}: log: must be true or false, got {log!r}")
    if log and low <= 0:
        raise UserError(f"{name}: low: must be positive with log: true, got {low}")
    if step is not None:
        if log:
            raise UserError(f"{name}: step: {step} and log: true exclude each other; remove one")
        step = parse(config_class, name, step)
        if not _is_number(step) or step <= 0:
            raise UserError(f"{name}: step: must be a positive number, got {step!r}")
        if step > (high - low) * (1 + 1e-9):  # tolerates rounding
            raise UserError(f"{name}: step: must not lead past high: {high}, got {step}")
    return Range(low, high, log, step)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
