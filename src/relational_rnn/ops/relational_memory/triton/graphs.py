"""Loops over a sequence, captured in CUDA graphs when a shape is used a second time.

A launch costs the CPU more than most of these kernels cost the GPU; a graph replays a whole
sequence with one launch. A graph is bound to its buffers, so a loop is lent to one forward pass
until the backward pass that belongs to it is done.
"""

from dataclasses import dataclass
from functools import partial
from threading import Lock
from weakref import ReferenceType, ref

import torch

from . import loop
from .buffers import Buffers, Sizes

CAPTURED_AT_MOST = 8
"""Captured loops kept; one for training at the published size holds about 0.4 GB."""
STALE_AFTER = 200
"""Loans without use after which a captured loop may be dropped. With fewer, sequences of ever new
lengths would capture all the time."""

Key = tuple[Sizes, bool, int, str]


class BoundLoop:
    """The loop over time, forward and backward, bound to its buffers."""

    def __init__(self, sizes: Sizes, *, keep_tape: bool) -> None:
        with torch.inference_mode(False):  # inference tensors could not be used outside of the mode
            self.buffers = Buffers.allocate(sizes, keep_tape=keep_tape)
        self.forward = partial(loop.forward, self.buffers)
        self.backward = partial(loop.backward, self.buffers)

    def capture(self) -> None:
        """Replace both passes by graphs that do the same."""
        # Once without capturing: this compiles the kernels, which must not happen during a capture.
        self.forward()
        forward = torch.cuda.CUDAGraph()
        # Other threads (data loaders, NCCL) keep running meanwhile: thread_local.
        with torch.cuda.graph(forward, capture_error_mode="thread_local"):
            loop.forward(self.buffers)
        self.forward = forward.replay  # type: ignore[assignment]
        if self.buffers.backward is None:
            return
        self.backward()
        backward = torch.cuda.CUDAGraph()
        with torch.cuda.graph(backward, capture_error_mode="thread_local"):
            loop.backward(self.buffers)
        self.backward = backward.replay  # type: ignore[assignment]


class Loan:
    """The right to use a loop and its buffers, until `end` or until the loan is collected."""

    def __init__(self, loop: BoundLoop) -> None:
        self.loop: BoundLoop | None = loop

    def end(self) -> None:
        """Return the loop."""
        self.loop = None


@dataclass
class Entry:
    """A captured loop on the shelf."""

    key: Key
    loop: BoundLoop
    loan: ReferenceType[Loan]
    lent: int  # the number of its last loan

    def idle(self) -> bool:
        """Whether the loop is not in use."""
        loan = self.loan()
        return loan is None or loan.loop is None


class Library:
    """Lends loops by shape, and keeps those that are captured."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loans = 0
        self._seen: set[Key] = set()
        self._shelf: list[Entry] = []

    def borrow(self, sizes: Sizes, *, keep_tape: bool) -> Loan:
        """A loop whose buffers are free.

        It is captured from the second request for a shape, while there is room. Inside of another
        capture nothing is captured: that one records the single launches.
        """
        if sizes.device.type != "cuda" or torch.cuda.is_current_stream_capturing():
            return Loan(BoundLoop(sizes, keep_tape=keep_tape))
        # what a graph has fixed: buffers, order on its stream, and the precision of products
        stream = torch.cuda.current_stream(sizes.device).cuda_stream
        key = sizes, keep_tape, stream, torch.backends.cuda.matmul.fp32_precision
        with self._lock:
            self._loans += 1
            entry = next((x for x in self._shelf if x.key == key and x.idle()), None)
            if entry is not None:
                loan = Loan(entry.loop)
                entry.loan, entry.lent = ref(loan), self._loans
                return loan
            new = BoundLoop(sizes, keep_tape=keep_tape)
            loan = Loan(new)
            if key in self._seen and self._make_room():
                new.capture()
                self._shelf.append(Entry(key, new, ref(loan), self._loans))
            self._seen.add(key)
            return loan

    def _make_room(self) -> bool:
        if len(self._shelf) < CAPTURED_AT_MOST:
            return True
        oldest = min(self._shelf, key=lambda entry: entry.lent)
        if self._loans - oldest.lent < STALE_AFTER or not oldest.idle():
            return False
        self._shelf.remove(oldest)
        return True


LIBRARY = Library()
