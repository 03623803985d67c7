"""What became of the trials of a sweep, and their order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .axes import Axis
from .ranks import ranks, spearman

STATES = ("finished", "pruned", "running", "waiting", "failed")
"""What a trial may be, in the order of the table."""


@dataclass
class Outcome:
    """One trial.

    Attributes:
        number: of the trial.
        state: one of ``STATES``.
        parameters: the values of the fields that were searched.
        value: its figure on the validation data, None without any.
        test: the figure on the test data.
        weights: number of the model's weights.
        seconds: time spent in training.
        published: the figure that somebody else had with these parameters.
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
        measure: what is compared, such as "perplexity".
        lower_is_better: whether the lowest figure is the best.
        trials: in their order: finished ones by their figures, then the others.
        axes: what was searched.
        place: rank of each finished trial by its number; the mean where figures are equal.
        published_place: the same for the published figures, among finished trials that have one.
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
        """The trials as plain values for JSON, in their order."""
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
