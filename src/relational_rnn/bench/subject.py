"""One case with everything that can be asked of it; made and warmed up when it is needed."""

from functools import cached_property

from . import memory
from .check import check
from .rows import ROWS, Case
from .timing import timed
from .work import Core, Floor, Training

WARM_UP_SHARE = 10  # the first training step sees this fraction of the window


QUESTIONS = ("check", "core_forward", "core_step", "core_floor", "train_step", "peak_mb")


class Subject:
    """A case under measurement. Every question is a method without arguments.

    Ask for :meth:`check` first, without which no figure counts, then for :meth:`train_step`:
    memory is to be measured in a process that has done little else.

    Args:
        case: what to measure.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.device = ROWS[case.row].device
        self._peak: float | None = None

    @cached_property
    def core(self) -> Core:
        """The core, run once."""
        core = Core(self.case)
        core.step()
        core.forward()
        return core

    @cached_property
    def floor(self) -> Floor:
        """The core's matrix products, run once."""
        floor = Floor(self.core)
        floor.step()
        return floor

    @cached_property
    def training(self) -> Training:
        """The whole model, after one step on a short window (the optimizer's state)."""
        training = Training(self.case)
        training.step(length=max(1, training.config.bptt // WARM_UP_SHARE))
        return training

    def check(self) -> float:
        """Seconds that it took to find that core and model compute what the reference does.

        Raises:
            ArithmeticError: they do not.
        """
        return timed(lambda: check(self.case), self.device)

    def core_forward(self) -> float:
        """Seconds of the core's forward pass."""
        return timed(self.core.forward, self.device)

    def core_step(self) -> float:
        """Seconds of the core's forward and backward pass."""
        return timed(self.core.step, self.device)

    def core_floor(self) -> float:
        """Seconds of the matrix products of :meth:`core_step`."""
        return timed(self.floor.step, self.device)

    def train_step(self) -> float:
        """Seconds of a whole training step; during the first one its memory is measured as well."""
        if self._peak is None:
            return self._first_train_step()
        return timed(self.training.step, self.device)

    def peak_mb(self) -> float:
        """Megabytes of a whole training step above the process before it.

        Weights and the optimizer's state are there before; gradients are not.
        """
        if self._peak is None:
            self._first_train_step()
        assert self._peak is not None
        return self._peak

    def _first_train_step(self) -> float:
        seconds = []
        training = self.training
        self._peak = memory.peak_during(
            lambda: seconds.append(timed(training.step, self.device)), self.device
        )
        return seconds[0]
