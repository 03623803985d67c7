"""Training windows without end, as Lightning wants them: sized, and with a position to save."""

import sys
from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from ..tasks.language_modeling.batching import Windows


class Batch(NamedTuple):
    """A window of the streams, or the part of it that is held in memory at once."""

    inputs: Tensor  # [T, b]
    targets: Tensor  # [T, b]
    part: int  # which part of the window, from 0
    first: bool  # the streams begin anew here
    last: bool  # the epoch ends here
    epoch: int  # epochs completed before this window

    @property
    def amount(self) -> int:
        """Words of each stream."""
        return len(self.inputs)


class TrainingStream:
    """All epochs in one go.

    Lightning sees a single epoch that does not end, so that there is one kind of moment at which
    to save and resume: after a step. Its length only has to exist: a loader without one is read
    one batch ahead, and the position saved with a checkpoint would be one too far.

    Args:
        windows: the windows of this process.
        parts: number of parts that a window's streams are divided into.
    """

    def __init__(self, windows: Windows, parts: int = 1) -> None:
        self.windows = windows
        self.parts = parts

    def __len__(self) -> int:
        return sys.maxsize

    def __iter__(self) -> Iterator[Batch]:
        while True:
            epoch, first = self.windows.epoch, self.windows.done == 0
            for inputs, targets in self.windows:
                last = self.windows.epoch > epoch
                parts = zip(
                    inputs.chunk(self.parts, dim=1), targets.chunk(self.parts, dim=1), strict=True
                )
                for part, (some_inputs, some_targets) in enumerate(parts):
                    yield Batch(some_inputs, some_targets, part, first, last, epoch)
                first = False

    def state_dict(self) -> dict[str, int]:
        """The position, the same on every process."""
        return self.windows.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a position."""
        self.windows.load_state_dict(state)
