"""The state of a training run: plain numbers that every checkpoint holds."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ..config import TrainingConfig
from . import schedules
from .reasoning import Examples
from .text import Batch


@dataclass
class TrainingState:
    """Progress of a run, and the decisions that follow from its validations.

    Attributes:
        step: optimizer steps completed.
        epoch: epochs completed.
        tokens: tokens (or examples) trained on.
        seconds: training time, including sessions before a resume.
        cpu_seconds: CPU time of this process in training, without validations.
        loss_sum: sum of the losses since the last row of metrics.
        loss_steps: number of steps in ``loss_sum``.
        errors: error of every validation, see :meth:`.TrainingModule.error`.
        best_error: the lowest error.
        best_step: the step of the lowest error.
        plateau_scale: factor of the plateau schedule on the learning rate.
        plateau_count: validations without improvement since the plateau schedule last lowered it.
        averaging: whether NT-ASGD has started to average the weights.
        rows: digest of the rows of metrics.csv so far, see :class:`.Metrics`; empty in a process
            that does not write them.
    """

    step: int = 0
    epoch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    loss_sum: float = 0.0
    loss_steps: int = 0
    errors: list[float] = field(default_factory=list)
    best_error: float = math.inf
    best_step: int = 0
    plateau_scale: float = 1.0
    plateau_count: int = 0
    averaging: bool = False
    rows: str = ""

    @property
    def without_improvement(self) -> int:
        """Number of validations since the best one."""
        return len(self.errors) - 1 - self.errors.index(self.best_error) if self.errors else 0

    def advance(self, step: int, batch: Batch | Examples, batch_size: int) -> None:
        """Record a step: its number, its batch, and the columns of the global batch."""
        self.step = step
        self.epoch = batch.epoch + batch.last
        self.tokens += batch.amount * batch_size
        self.loss_steps += 1

    def learning_rate(self, config: TrainingConfig, total_steps: int) -> float:
        """Learning rate of the next step."""
        scheduled = schedules.factor(config, self.step, total_steps)
        return config.learning_rate * scheduled * self.plateau_scale

    def validated(self, config: TrainingConfig, error: float) -> bool:
        """Record the error of a validation; return whether it is the best so far."""
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
        """Whether early stopping is due: ``patience`` validations without improvement."""
        return config.patience is not None and self.without_improvement >= config.patience

    def state_dict(self) -> dict[str, Any]:
        """All attributes as plain types."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the attributes from :meth:`state_dict`."""
        self.__dict__.update(state)
