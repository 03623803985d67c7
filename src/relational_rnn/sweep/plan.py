"""A sweep: what is tried, on what, and how the next trial is chosen."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..config import TaskConfig
from ..registry import Metric, entry
from .space import Dimension

SAMPLERS = ("tpe", "random")
PRUNERS = ("none", "median", "hyperband")
MAY_DIFFER = ("device", "devices", "checkpoint_every")
"""Fields that a process may have its own values of when it joins a sweep."""


@dataclass(frozen=True)
class Plan:
    """All that decides what a sweep does.

    Attributes:
        name: of the sweep.
        base: the configuration whose fields are changed.
        space: what is searched; with rows, every value that a field has in one of them.
        rows: the values of these fields, trial by trial; empty: they are sampled.
        published: beside each row the figure that somebody else had, or None.
        sampler: one of ``SAMPLERS``; "rows" with rows.
        pruner: one of ``PRUNERS``.
        seed: of the sampler.
        trials: their number.
    """

    name: str
    base: TaskConfig
    space: dict[str, Dimension]
    rows: list[dict[str, Any]]
    published: list[float | None]
    sampler: str
    pruner: str
    seed: int
    trials: int

    @property
    def measure(self) -> Metric:
        """What is compared, on the validation data: "perplexity" or "accuracy"."""
        return entry(self.base).metric

    @property
    def lower_is_better(self) -> bool:
        """Whether the best trial is the one with the lowest figure."""
        return self.measure == "perplexity"

    def config(self, number: int, parameters: Mapping[str, Any]) -> TaskConfig:
        """The configuration of a trial.

        Raises:
            UserError: the values do not go together.
        """
        values = asdict(self.base) | dict(parameters) | {"name": f"{self.name}-{number:04}"}
        return type(self.base)(**values)

    def as_plain(self) -> dict[str, Any]:
        """As a sweep's file, with every field of the base: reading it gives this plan again."""
        skipped = {"task", "name", "num_nodes", *self.space}
        base = {key: value for key, value in asdict(self.base).items() if key not in skipped}
        plain: dict[str, Any] = {"base": self.base.task, "fields": base}
        if self.rows:
            plain["rows"] = [
                row if figure is None else row | {"published": figure}
                for row, figure in zip(self.rows, self.published, strict=True)
            ]
        else:
            plain["sampler"] = self.sampler
            plain["space"] = {key: space.as_plain() for key, space in self.space.items()}
        plain |= {"pruner": self.pruner, "seed": self.seed, "trials": self.trials}
        return dict(json.loads(json.dumps(plain)))  # tuples become lists, as YAML has them
