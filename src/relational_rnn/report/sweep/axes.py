"""One axis of a picture of parameters: where a value stands on it, and its marks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TICKS = 5


@dataclass(frozen=True)
class Axis:
    """A field that was searched.

    Attributes:
        name: of the field.
        values: what it could be, in order, each as far from the next; None: a range of numbers.
        low: the range's lower end.
        high: its upper end.
        log: whether the range is logarithmic.
    """

    name: str
    values: tuple[Any, ...] | None = None
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def at(self, value: Any) -> float:
        """Where a value stands, 0 at the lower end and 1 at the upper one."""
        if self.values is not None:
            last = len(self.values) - 1
            return self.values.index(value) / last if last else 0.5
        low, high, here = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (here - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Places with the text that stands there."""
        if self.values is not None:
            return [(self.at(value), text(value)) for value in self.values]
        # Three figures tell the marks apart, unless the ends are close to each other.
        digits = 3 if self.high - self.low > 0.1 * abs(self.high) else 6
        found = []
        for tick in range(TICKS):
            share = tick / (TICKS - 1)
            value = self.low + share * (self.high - self.low)
            if self.log:
                value = self.low * (self.high / self.low) ** share
            found.append((share, f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}g}"))
        return found


def choices(name: str, values: Sequence[Any]) -> Axis:
    """An axis of single values; numbers in their order, anything else as given."""
    numbers = all(isinstance(value, int | float) for value in values)
    return Axis(name, tuple(sorted(values) if numbers else values))


def text(value: Any) -> str:
    """A parameter's value for people."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
