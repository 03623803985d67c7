"""What a generated task offers to training, evaluation and inspection."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from .sampling import Batch, Task

NOT_SCORED = -100
"""Target of a step that is not scored, where 0 is a class; the default of torch's cross_entropy."""


class Kind(NamedTuple):
    """A kind of question, to be scored on its own.

    Attributes:
        label: its level, e.g. ``{"length": 3}``.
        task: makes examples of this kind, or of several that share a batch.
        which: the examples of a batch that are of this kind, ``[B]`` bool; None: all.
    """

    label: Mapping[str, int]
    task: Task
    which: Callable[[Batch], Tensor] | None = None


class Description(NamedTuple):
    """An example and its answer, for people.

    Attributes:
        title: the question, the answer and the right one, in one line.
        steps: what the model reads, and writes, at each step.
    """

    title: str
    steps: Sequence[str]


class GeneratedTask(Task, Protocol):
    """A task whose examples are generated, such as ``NthFarthest`` or ``Programs``."""

    @property
    def model_sizes(self) -> dict[str, int]:
        """Arguments of its model's constructor that the task decides."""

    @property
    def follows_loss(self) -> bool:
        """Whether the losses given to :meth:`update` decide how hard the examples are."""

    def update(self, loss: float) -> bool:
        """Record a training loss; return whether the examples are harder from now on."""

    def kinds(self) -> list[Kind]:
        """Return the kinds of question in its test, the easiest first."""

    def describe(self, batch: Batch, answer: Tensor) -> Description:
        """Describe a batch of one example, given the class [1] or ids [S, 1] answered."""
