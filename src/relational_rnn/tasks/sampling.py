"""Batches made on the fly: what the generated tasks have in common.

Batch i of a run is a pure function of (seed, stream, i), so that it is the same for any number
of processes and of data workers, and a place in the data is one number.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from .argument_checks import InvalidArgumentError, at_least, one_of

STREAMS = ("train", "valid", "test")  # unrelated numbers from one seed


class Batch(NamedTuple):
    """Questions and answers, time first.

    ``inputs`` are ids [T, B] int64 (padded with ``PAD`` after the end) or vectors [T, B, I]
    float32; ``targets`` are classes [B] int64 or ids [T_out, B] int64 (padded likewise);
    ``input_lengths`` [B] int64 counts the steps of each input.
    """

    inputs: Tensor
    targets: Tensor
    input_lengths: Tensor


class Task(Protocol):
    """What makes batches: ``NthFarthest``, ``Programs``, ``Memorization``."""

    def sample(
        self, batch_size: int, seed: np.random.SeedSequence, device: torch.device | str
    ) -> Batch:
        """Return the batch of a seed."""

    def state_dict(self) -> dict[str, Any]:
        """Return what changes during training (how hard the samples are); plain types."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state`` was taken."""


class BatchSource:
    """The batches of one process; iterating yields those left of the current epoch.

    An epoch is ``batches`` batches; the next one goes on with new batches. A process takes the
    columns ``rank::world_size`` of every global batch. ``batch(i)`` gives any batch at any time
    (a test set is ``batch(0)`` ... of the stream ``"test"``); it also depends on the level that
    the curriculum of the task has then, and with ``NthFarthest`` on the kind of device, as the
    random numbers of CPU and GPU differ.

    Args:
        task: what makes the samples.
        batch_size: samples of a global batch, a multiple of ``world_size``.
        batches: batches in an epoch.
        seed: a whole number of at least 0.
        stream: ``"train"``, ``"valid"`` or ``"test"``.
        rank: number of this process.
        world_size: number of processes.
        device: where the batches are wanted.

    Raises:
        InvalidArgumentError: an argument is out of its range.
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
                f"batch_size must be a multiple of the {world_size} processes, not {batch_size}"
            )

    def batch(self, index: int) -> Batch:
        """Return this process's part of global batch ``index``."""
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
        """Return the number of batches in an epoch."""
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        while True:
            batch = self.batch(self.next_batch)
            self.next_batch += 1  # before the yield: a state taken in the loop is after the batch
            yield batch
            if self.next_batch % self.batches == 0:
                return

    def state_dict(self) -> dict[str, Any]:
        """Return the place after the last batch yielded; plain types."""
        return {"next_batch": self.next_batch, "task": self.task.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the last batch that was yielded before ``state`` was taken."""
        self.next_batch = at_least("next_batch", state["next_batch"], 0)
        self.task.load_state_dict(state["task"])
