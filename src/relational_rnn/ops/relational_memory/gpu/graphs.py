"""Runs over a sequence, captured in CUDA graphs when a shape comes back.

A launch costs the CPU more than most of these kernels cost the GPU; a graph replays a whole
sequence with one launch. It is bound to its buffers, so a run is lent to one forward pass until
the backward pass that belongs to it is done.
"""

from dataclasses import dataclass
from functools import partial
from threading import Lock
from weakref import ReferenceType, ref

import torch

from . import loop
from .buffers import Buffers
from .sizes import Sizes

CAPTURED_AT_MOST = 8  # a training run of the published size holds about 0.4 GB
STALE_AFTER = 200  # loans; sooner, sequences of ever new lengths would capture all the time

Key = tuple[Sizes, bool, int, str]


class Run:
    """Buffers and the loops over them."""

    def __init__(self, sizes: Sizes, *, keep_tape: bool) -> None:
        with torch.inference_mode(False):  # buffers made in that mode could not be used outside
            self.buffers = Buffers.allocate(sizes, keep_tape=keep_tape)
        self.forward = partial(loop.forward, self.buffers)
        self.backward = partial(loop.backward, self.buffers)

    def capture(self) -> None:
        """Replace the loops by graphs that do the same."""
        # Once without capturing: compiles kernels, which must not happen while capturing.
        self.forward()
        forward = torch.cuda.CUDAGraph()
        # Other threads (data loaders, NCCL) go on meanwhile: thread_local.
        with torch.cuda.graph(forward, capture_error_mode="thread_local"):
            loop.forward(self.buffers)
        self.forward = forward.replay  # type: ignore[assignment]
        if self.buffers.gradients is None:
            return
        self.backward()
        backward = torch.cuda.CUDAGraph()
        with torch.cuda.graph(backward, capture_error_mode="thread_local"):
            loop.backward(self.buffers)
        self.backward = backward.replay  # type: ignore[assignment]


class Loan:
    """The right to a run's buffers; ends with `end`, or when nobody holds the loan any more."""

    def __init__(self, run: Run) -> None:
        self.run: Run | None = run

    def end(self) -> None:
        """Give the run back."""
        self.run = None


@dataclass
class Entry:
    """A captured run on the shelf."""

    key: Key
    run: Run
    loan: ReferenceType[Loan]
    lent: int  # when, counted in loans

    def idle(self) -> bool:
        """Whether nobody uses the run."""
        loan = self.loan()
        return loan is None or loan.run is None


class Library:
    """Captured runs, lent by shape."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loans = 0
        self._seen: set[Key] = set()
        self._shelf: list[Entry] = []

    def borrow(self, sizes: Sizes, *, keep_tape: bool) -> Loan:
        """A run with free buffers.

        Captured from the second time on that a shape is asked for, while there is room; never
        inside of a capture by somebody else, which then records the single launches.
        """
        if sizes.device.type != "cuda" or torch.cuda.is_current_stream_capturing():
            return Loan(Run(sizes, keep_tape=keep_tape))
        # what a graph has fixed: buffers, order on its stream, and the precision of products
        stream = torch.cuda.current_stream(sizes.device).cuda_stream
        key = sizes, keep_tape, stream, torch.backends.cuda.matmul.fp32_precision
        with self._lock:
            self._loans += 1
            entry = next((x for x in self._shelf if x.key == key and x.idle()), None)
            if entry is not None:
                loan = Loan(entry.run)
                entry.loan, entry.lent = ref(loan), self._loans
                return loan
            run = Run(sizes, keep_tape=keep_tape)
            loan = Loan(run)
            if key in self._seen and self._make_room():
                run.capture()
                self._shelf.append(Entry(key, run, ref(loan), self._loans))
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
