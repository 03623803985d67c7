"""One case with everything that can be asked of it; made and warmed up when it is needed."""

from functools import cached_property

from . import memory
from .check import check
from .rows import ROWS, Case
from .timing import timed
from .work import Core, Floor, Training


class Subject:
    """A case under measurement. Every question is a method without arguments.

    Ask for :meth:`check` first, without which no figure counts, then for :meth:`peak_mb`: memory is
    to be measured in a process that has done little else, and that step is a warm-up for the next.

    Args:
        case: what to measure.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.device = ROWS[case.row].device

    @cached_property
    def core(self) -> Core:
        """The core, after one step: what it takes from the system's memory, it has then."""
        core = Core(self.case)
        core.step()
        return core

    @cached_property
    def floor(self) -> Floor:
        """The core's matrix products, after one run."""
        floor = Floor(self.core)
        floor.step()
        return floor

    @cached_property
    def training(self) -> Training:
        """The whole model, after a step on one word of each stream (the optimizer's state)."""
        training = Training(self.case)
        training.step(length=1)
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
        """Seconds of a whole training step."""
        return timed(self.training.step, self.device)

    def peak_mb(self) -> float:
        """Megabytes of a whole training step above the process before it.

        Weights and the optimizer's state are there before; gradients are not.
        """
        return memory.peak_during(self.training.step, self.device)
