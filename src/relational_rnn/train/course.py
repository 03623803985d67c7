"""Where a run is: plain numbers that are saved with every checkpoint."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ..config import TrainingConfig
from . import schedules
from .generated import Examples
from .stream import Batch


@dataclass
class Course:
    """The course of a run so far, and what follows from it.

    Attributes:
        step: optimizer steps made.
        epoch: epochs completed.
        tokens: words (or examples) trained on.
        seconds: time spent, over all sessions.
        loss_sum: sum of the losses of the steps since the last row of metrics.
        loss_steps: number of these steps.
        errors: of all validations, see :meth:`.TrainingModule.error`.
        best_error: the lowest of them.
        best_step: its step.
        plateau_scale: what the plateau schedule has made of the learning rate.
        plateau_count: validations without improvement since it last changed it.
        averaging: whether weights are averaged now.
    """

    step: int = 0
    epoch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0
    errors: list[float] = field(default_factory=list)
    best_error: float = math.inf
    best_step: int = 0
    plateau_scale: float = 1.0
    plateau_count: int = 0
    averaging: bool = False

    @property
    def without_improvement(self) -> int:
        """Validations since the best one."""
        return len(self.errors) - 1 - self.errors.index(self.best_error) if self.errors else 0

    def advance(self, step: int, batch: Batch | Examples, batch_size: int) -> None:
        """Take in a step: its number, its window, and the streams of the global batch."""
        self.step = step
        self.epoch = batch.epoch + batch.last
        self.tokens += batch.amount * batch_size
        self.loss_steps += 1

    def learning_rate(self, config: TrainingConfig, total_steps: int) -> float:
        """The learning rate of the next step."""
        scheduled = schedules.factor(config, self.step, total_steps)
        return config.learning_rate * scheduled * self.plateau_scale

    def validated(self, config: TrainingConfig, error: float) -> bool:
        """Take in the error of a validation; return whether it is the best so far."""
        improved = error < self.best_error
        before = self.errors[: -config.nonmono]
        if config.averaging == "nt-asgd" and before and error > min(before):
            self.averaging = True
        self.errors.append(error)
        if improved:
            self.best_error, self.best_step, self.plateau_count = error, self.step, 0
        elif config.schedule == "plateau" and self.step >= config.warmup_steps:
            self.plateau_count += 1
            if self.plateau_count > config.plateau_patience:
                self.plateau_scale *= config.plateau_factor
                self.plateau_count = 0
        return improved

    def out_of_patience(self, config: TrainingConfig) -> bool:
        """Whether validation has not improved for too long."""
        return config.patience is not None and self.without_improvement >= config.patience

    def state_dict(self) -> dict[str, Any]:
        """Everything, as plain types."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to where the state was taken."""
        self.__dict__.update(state)
