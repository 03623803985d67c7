"""Generated batches: the interface of a task, and the batch source used in training and tests.

Batch i of a run is a pure function of (seed, stream, i). It is therefore the same for any number
of processes, and a position in the data is a single integer.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .argument_checks import InvalidArgumentError, at_least, one_of

STREAMS = ("train", "valid", "test")  # independent random streams of one seed


class Batch(NamedTuple):
    """Inputs and targets, time first.

    Attributes:
        inputs: ids [T, B] int64, padded at the end with ``PAD``; ids with a mark at each step
            that has a target [T, B, 2] int64; or vectors [T, B, I] float32.
        targets: classes [B] int64, ids [T_out, B] int64, padded like the inputs, or classes of S
            steps [S, B] int64, ``NOT_SCORED`` where a step has none.
        input_lengths: [B] int64, time steps of each input without padding.
    """

    inputs: Tensor
    targets: Tensor
    input_lengths: Tensor


class Task(Protocol):
    """A generator of batches, such as ``NthFarthest`` or ``Programs``."""

    def sample(
        self, batch_size: int, seed: np.random.SeedSequence, device: torch.device | str
    ) -> Batch:
        """Return the batch determined by a seed."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that changes during training (the difficulty), as plain types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state returned by :meth:`state_dict`."""


class BatchSource:
    """The batches of one process; iterating yields the remaining batches of the current epoch.

    An epoch has ``batches`` batches; the next epoch continues with new ones. Each process gets the
    columns ``rank::world_size`` of every global batch. ``batch(i)`` returns any batch at any time:
    a test set is ``batch(0)``, ``batch(1)``, ... of the stream ``"test"``. A batch also depends on
    the current level of the task's curriculum and, for ``NthFarthest``, on the type of device,
    since CPU and GPU generate different random numbers.

    Args:
        task: generates the samples.
        batch_size: samples in a global batch, a multiple of ``world_size``.
        batches: batches per epoch.
        seed: an integer of at least 0.
        stream: ``"train"``, ``"valid"`` or ``"test"``.
        rank: index of this process.
        world_size: number of processes.
        device: device of the batches.

    Raises:
        InvalidArgumentError: an argument is out of range.
    """

    def __init__(
        self,
        task: Task,
        *,
        batch_size: int,
        batches: int,
        seed: int,
        stream: str = "train",
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.task = task
        self.batch_size = at_least("batch_size", batch_size, 1)
        self.batches = at_least("batches", batches, 1)
        self.seed = at_least("seed", seed, 0)
        self.stream = one_of("stream", stream, STREAMS)
        self.rank = at_least("rank", rank, 0)
        self.world_size = at_least("world_size", world_size, rank + 1)
        self.device = device
        self.next_batch = 0
        if batch_size % world_size:
            raise InvalidArgumentError(
                f"batch_size must be a multiple of the {world_size} processes, got {batch_size}"
            )

    def batch(self, index: int) -> Batch:
        """Return this process's columns of global batch ``index``."""
        seed = np.random.SeedSequence(self.seed, spawn_key=(STREAMS.index(self.stream), index))
        batch = self.task.sample(self.batch_size, seed, self.device)
        if self.world_size == 1:
            return batch
        part = slice(self.rank, None, self.world_size)
        return Batch(
            batch.inputs[:, part].contiguous(),
            batch.targets[..., part].contiguous(),
            batch.input_lengths[part],
        )

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        while True:
            batch = self.batch(self.next_batch)
            self.next_batch += (
                1  # before the yield: a state taken in the loop body counts the batch
            )
            yield batch
            if self.next_batch % self.batches == 0:
                return

    def state_dict(self) -> dict[str, Any]:
        """Return the position after the last yielded batch, as plain types."""
        return {"next_batch": self.next_batch, "task": self.task.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position and the task's state from :meth:`state_dict`."""
        self.next_batch = at_least("next_batch", state["next_batch"], 0)
        self.task.load_state_dict(state["task"])
