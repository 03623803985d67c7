"""Ids to windows ``[T, B]``, one after another, so that memory can be carried between them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import UserError

Ids = NDArray[np.integer[Any]]


def streams(tokens: Ids, batch_size: int) -> Ids:
    """Cut a text into ``batch_size`` pieces that are read side by side.

    Args:
        tokens: ids ``[tokens]``.
        batch_size: number of pieces; the tokens that do not fill a row are left out.

    Returns:
        A view ``[length, batch_size]`` of the ids: down each column the text goes on.

    Raises:
        UserError: the text is too short for one batch.
    """
    length = len(tokens) // batch_size
    if length < 2:
        raise UserError(
            f"a text of {len(tokens):,} tokens is shorter than one batch: batch_size {batch_size} "
            f"takes {2 * batch_size:,} at least; use a longer text or a smaller batch_size"
        )
    return tokens[: length * batch_size].reshape(batch_size, length).T


class Windows:
    """Windows to train on: endlessly many epochs of them, an epoch with each ``iter()``.

    Yields ``inputs [T, b]`` and ``targets [T, b]``, int64, the targets one token ahead; the next
    window goes on where the last ended, and the last of an epoch may be short. In an epoch every
    token except the first of each stream is a target once.

    It knows how far it is: :meth:`state_dict` after any window, loaded elsewhere, yields the
    same windows that would have come next. Everything random is drawn from ``seed`` and epoch.

    Args:
        streams: ids ``[length, B]`` of the global batch, see :func:`streams`.
        bptt: tokens of a window, T.
        rank: which of the processes this is; it gets the columns ``rank::world_size``.
        world_size: number of processes.
        random_bptt: vary T around bptt (Merity et al. 2018, AWD-LSTM): 95 % of the windows are
            drawn with mean bptt, others with half of it, deviation 5, at least 5. The draws are
            then scaled to fill the epoch with the usual number of windows.
        random_offset: begin each stream at a place of its own, reading on from its end to its
            start (Press 2019, "Partially shuffling the training data", arXiv 1903.04167).
        seed: of both.

    Raises:
        UserError: the global batch cannot be divided among the processes.
        ValueError: bptt is not positive.
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
            raise ValueError(f"bptt must be at least 1, not {bptt}")
        batch_size = streams.shape[1]
        if batch_size % world_size:
            raise UserError(
                f"batch_size {batch_size} cannot be divided among {world_size} processes; "
                f"it must be a multiple of {world_size}"
            )
        self.streams = streams
        self.bptt = bptt
        self.columns = np.arange(rank, batch_size, world_size)
        self.random_bptt = random_bptt
        self.random_offset = random_offset
        self.seed = seed
        self.epoch = 0
        self.done = 0  # windows of this epoch that were given out

    def __len__(self) -> int:
        """Windows in an epoch, the same in all."""
        return -(-(len(self.streams) - 1) // self.bptt)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield what is left of the epoch."""
        epoch = self.epoch
        cuts, offsets = self._draw(epoch)
        for window in range(self.done, len(self)):
            # Counted before it is given out: who saves now has it.
            last = window + 1 == len(self)
            self.epoch, self.done = (epoch + 1, 0) if last else (epoch, window + 1)
            times = np.arange(cuts[window], cuts[window + 1] + 1)[:, None]  # [T+1, 1]
            rows = (times + offsets) % len(self.streams)  # [T+1, b]
            ids = torch.from_numpy(self.streams[rows, self.columns].astype(np.int64))
            yield ids[:-1], ids[1:]

    def _draw(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where windows begin and end ``[len + 1]``, and where the streams begin ``[b]``."""
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
            # One token to each window, the others in proportion to the draws: none is empty.
            spare = length - 1 - len(self)
            cuts = np.arange(len(self) + 1)
            cuts[1:] += np.rint(drawn / drawn[-1] * spare).astype(np.int64)
        return cuts, offsets[self.columns]

    def state_dict(self) -> dict[str, int]:
        """Return the position: the same number on every rank, whatever the world size."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a position.

        Raises:
            ValueError: an epoch has fewer windows: batch or bptt were others.
        """
        if not 0 <= state["done"] < len(self):
            raise ValueError(f"done must be below {len(self)}, not {state['done']}")
        self.epoch, self.done = state["epoch"], state["done"]
