"""Token ids to consecutive windows ``[T, B]``, between which the memory can be carried."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UserError

Ids = NDArray[np.integer[Any]]


def streams(tokens: Ids, batch_size: int) -> Ids:
    """Split a text into ``batch_size`` contiguous streams of equal length, read in parallel.

    Args:
        tokens: ids ``[tokens]``.
        batch_size: number of streams; the remainder of the division is dropped.

    Returns:
        A view ``[length, batch_size]`` of the ids; each column is a contiguous part of the text.

    Raises:
        UserError: the text is too short for one batch.
    """
    length = len(tokens) // batch_size
    if length < 2:
        raise UserError(
            f"a text of {len(tokens):,} tokens is shorter than one batch: batch_size {batch_size} "
            f"needs at least {2 * batch_size:,}; use a longer text or a smaller batch_size"
        )
    return tokens[: length * batch_size].reshape(batch_size, length).T


class Windows:
    """Truncated BPTT windows for training; each ``iter()`` yields (the rest of) one epoch.

    Yields ``inputs [T, b]`` and ``targets [T, b]``, int64, with the targets one token ahead. Each
    window starts where the previous one ended; the last window of an epoch may be shorter. In an
    epoch every token except the first of each stream is a target exactly once.

    :meth:`state_dict` after any window, loaded elsewhere, yields the same windows that would have
    followed. All random numbers derive from ``seed`` and the epoch.

    Args:
        streams: ids ``[length, B]`` of the global batch, see :func:`streams`.
        bptt: tokens per window, T.
        rank: index of this process, which gets the columns ``rank::world_size``.
        world_size: number of processes.
        random_bptt: vary T around bptt (Merity et al. 2018, AWD-LSTM): lengths are normal with
            standard deviation 5 and minimum 5; the mean is bptt for 95 % of the windows, half of it
            for the others. The lengths are then scaled so that the number of windows per epoch
            stays the same.
        random_offset: start each stream at its own random position and wrap around at its end
            (Press 2019, "Partially shuffling the training data", arXiv 1903.04167).
        seed: of ``random_bptt`` and ``random_offset``.

    Raises:
        UserError: ``batch_size`` is not divisible by the number of processes.
        ValueError: ``bptt`` is below 1.
    """

    def __init__(
        self,
        streams: Ids,
        *,
        bptt: int,
        rank: int = 0,
        world_size: int = 1,
        random_bptt: bool = False,
        random_offset: bool = False,
        seed: int = 0,
    ):
        if bptt < 1:
            raise ValueError(f"bptt must be at least 1, got {bptt}")
        batch_size = streams.shape[1]
        if batch_size % world_size:
            raise UserError(
                f"batch_size must be a multiple of the {world_size} processes, got {batch_size}"
            )
        self.streams = streams
        self.bptt = bptt
        self.columns = np.arange(rank, batch_size, world_size)
        self.random_bptt = random_bptt
        self.random_offset = random_offset
        self.seed = seed
        self.epoch = 0
        self.done = 0  # windows of this epoch yielded so far

    def __len__(self) -> int:
        """Windows per epoch, the same in every epoch."""
        return -(-(len(self.streams) - 1) // self.bptt)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the remaining windows of the epoch."""
        epoch = self.epoch
        cuts, offsets = self._draw(epoch)
        for window in range(self.done, len(self)):
            # Counted before the yield: a state saved in the loop body includes this window.
            last = window + 1 == len(self)
            self.epoch, self.done = (epoch + 1, 0) if last else (epoch, window + 1)
            times = np.arange(cuts[window], cuts[window + 1] + 1)[:, None]  # [T+1, 1]
            rows = (times + offsets) % len(self.streams)  # [T+1, b]
            ids = torch.from_numpy(self.streams[rows, self.columns].astype(np.int64))
            yield ids[:-1], ids[1:]

    def _draw(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Window boundaries ``[len + 1]`` and the start of each stream ``[b]``."""
        length, batch_size = self.streams.shape
        random = np.random.default_rng((self.seed, epoch))
        offsets = np.zeros(batch_size, dtype=np.int64)
        if self.random_offset:
            offsets += random.integers(length, size=batch_size)
        if not self.random_bptt:
            cuts = np.minimum(np.arange(len(self) + 1) * self.bptt, length - 1)
        else:
            mean = np.where(random.random(len(self)) < 0.95, self.bptt, self.bptt / 2)
            drawn = np.cumsum(np.maximum(random.normal(mean, 5), 5))
            # One token per window, the rest in proportion to the draws: no window is empty.
            spare = length - 1 - len(self)
            cuts = np.arange(len(self) + 1)
            cuts[1:] += np.rint(drawn / drawn[-1] * spare).astype(np.int64)
        return cuts, offsets[self.columns]

    def state_dict(self) -> dict[str, int]:
        """Return the position, which is independent of rank and world size."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore a position.

        Raises:
            ValueError: the position is beyond the epoch: it was saved with another batch_size or
                bptt.
        """
        if not 0 <= state["done"] < len(self):
            raise ValueError(f"done must be below {len(self)}, got {state['done']}")
        self.epoch, self.done = state["epoch"], state["done"]
