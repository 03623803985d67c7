"""The trials of a sweep as results: what each measured, their ranks, and the fields searched."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .formatting import field_value

STATES = ("finished", "pruned", "running", "waiting", "failed")
"""The states of a trial, in the order of the table."""
TICKS = 5


@dataclass(frozen=True)
class Axis:
    """A searched field as the axis of a picture.

    Attributes:
        name: of the field.
        values: its choices in order, drawn at equal distances; None for a range of numbers.
        low: lower end of the range.
        high: upper end of the range.
        log: whether the range is logarithmic.
    """

    name: str
    values: tuple[Any, ...] | None = None
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    @classmethod
    def of_choices(cls, name: str, values: Sequence[Any]) -> "Axis":
        """An axis of single values: numbers in increasing order, other values as given."""
        numbers = all(isinstance(value, int | float) for value in values)
        return cls(name, tuple(sorted(values) if numbers else values))

    def at(self, value: Any) -> float:
        """The position of a value, from 0 at the lower end to 1 at the upper end."""
        if self.values is not None:
            last = len(self.values) - 1
            return self.values.index(value) / last if last else 0.5
        low, high, here = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (here - low) / (high - low) if high > low else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Position and label of each tick."""
        if self.values is not None:
            return [(self.at(value), field_value(value)) for value in self.values]
        # Three digits tell the ticks apart unless the ends are close to each other.
        digits = 3 if self.high - self.low > 0.1 * abs(self.high) else 6
        found = []
        for tick in range(TICKS):
            share = tick / (TICKS - 1)
            value = self.low + share * (self.high - self.low)
            if self.log:
                value = self.low * (self.high / self.low) ** share
            found.append((share, f"{value:,.0f}" if value >= 1000 else f"{value:.{digits}g}"))
        return found


@dataclass
class Outcome:
    """One trial.

    Attributes:
        number: of the trial, from 0.
        state: one of ``STATES``.
        parameters: the values of the searched fields.
        value: the measure on the validation set; None without a result.
        test: the measure on the test set.
        weights: number of parameters of the model.
        seconds: time spent in training.
        published: the published figure for the same values.
        error: why it failed.
    """

    number: int
    state: str
    parameters: dict[str, Any]
    value: float | None = None
    test: float | None = None
    weights: int | None = None
    seconds: float | None = None
    published: float | None = None
    error: str | None = None


@dataclass
class Outcomes:
    """All trials of a sweep, the best first.

    Attributes:
        name: of the sweep.
        measure: what is compared: "perplexity" or "accuracy".
        lower_is_better: whether the lowest value is the best.
        trials: finished ones by value, then the others by state.
        axes: the searched fields.
        place: rank of each finished trial, by its number; equal values share their mean rank.
        published_place: the same for the published figures of finished trials.
        rho: Spearman's rank correlation between measured and published figures.
    """

    name: str
    measure: str
    lower_is_better: bool
    trials: list[Outcome]
    axes: list[Axis]
    place: dict[int, float] = field(init=False)
    published_place: dict[int, float] = field(init=False)
    rho: float | None = field(init=False)

    def __post_init__(self) -> None:
        def order(trial: Outcome) -> tuple[int, float, int]:
            return STATES.index(trial.state), self._cost(trial.value), trial.number

        self.trials = sorted(self.trials, key=order)
        done = [trial for trial in self.trials if trial.state == "finished"]
        self.place = self._places(done, [trial.value for trial in done])
        both = [trial for trial in done if trial.published is not None]
        self.published_place = self._places(both, [trial.published for trial in both])
        self.rho = spearman(
            [self._cost(trial.value) for trial in both],
            [self._cost(trial.published) for trial in both],
        )

    @property
    def compared(self) -> bool:
        """Whether any trial has a published figure."""
        return any(trial.published is not None for trial in self.trials)

    @property
    def finished(self) -> int:
        """Number of finished trials."""
        return len(self.place)

    def rows(self) -> list[dict[str, Any]]:
        """The trials as plain values for JSON, in order."""
        found = []
        for trial in self.trials:
            row: dict[str, Any] = {
                "trial": trial.number,
                "state": trial.state,
                "rank": self.place.get(trial.number),
                "parameters": trial.parameters,
                f"valid_{self.measure}": trial.value,
                f"test_{self.measure}": trial.test,
                "weights": trial.weights,
                "seconds": trial.seconds,
            }
            if self.compared:
                row["published"] = trial.published
                row["published_rank"] = self.published_place.get(trial.number)
            if trial.error is not None:
                row["error"] = trial.error
            found.append(row)
        return found

    def _cost(self, value: float | None) -> float:
        if value is None:
            return math.inf
        return value if self.lower_is_better else -value

    def _places(
        self, trials: Sequence[Outcome], values: Sequence[float | None]
    ) -> dict[int, float]:
        found = ranks([self._cost(value) for value in values])
        return {trial.number: rank for trial, rank in zip(trials, found, strict=True)}


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each value, 1 for the lowest; equal values share the mean of their ranks."""
    _, group, sizes = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    found: list[float] = ((2 * last - sizes + 1) / 2)[group].tolist()
    return found


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rho, the correlation of the ranks (Spearman 1904).

    None if there are fewer than two pairs, or all values on one side are equal.
    """
    if len(first) < 2:
        return None
    a, b = (np.asarray(ranks(values)) - (len(values) + 1) / 2 for values in (first, second))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale else None
