"""Runs over a sequence, captured in CUDA graphs when a shape comes back.

A launch costs the CPU more than most of these kernels cost the GPU; a graph replays a whole
sequence with one launch. It is bound to its buffers, so a run is lent to one forward pass until
the backward pass that belongs to it is done.
"""

from functools import partial
from threading import Lock
from weakref import ReferenceType, ref

import torch

from . import loop
from .buffers import Buffers, Sizes

CAPTURED_AT_MOST = 8  # a published-size training run holds about 0.35 GB

_Key = tuple[Sizes, bool, int, str]


class Run:
    """Buffers and the loops over them."""

    def __init__(self, sizes: Sizes, *, keep_tape: bool) -> None:
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


class Library:
    """Captured runs, lent by shape."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: set[_Key] = set()
        self._runs: list[tuple[_Key, Run]] = []  # the longest unused first
        self._loans: dict[int, ReferenceType[Loan]] = {}  # by id of the run

    def borrow(self, sizes: Sizes, *, keep_tape: bool) -> Loan:
        """A run with free buffers.

        Captured from the second time on that a shape is asked for; never inside of a capture by
        somebody else, which then records the single launches.
        """
        if sizes.device.type != "cuda" or torch.cuda.is_current_stream_capturing():
            return Loan(Run(sizes, keep_tape=keep_tape))
        # what a graph has fixed: buffers, order on its stream, and the precision of products
        stream = torch.cuda.current_stream(sizes.device).cuda_stream
        key = sizes, keep_tape, stream, torch.backends.cuda.matmul.fp32_precision
        with self._lock:
            if key not in self._seen:
                self._seen.add(key)
                return Loan(Run(sizes, keep_tape=keep_tape))
            found = next((x for x in self._runs if x[0] == key and self._free(x[1])), None)
            if found is not None:
                self._runs.remove(found)
            elif self._make_room():
                found = key, Run(sizes, keep_tape=keep_tape)
                found[1].capture()
            else:
                return Loan(Run(sizes, keep_tape=keep_tape))
            self._runs.append(found)
            loan = Loan(found[1])
            self._loans[id(found[1])] = ref(loan)
            return loan

    def _free(self, run: Run) -> bool:
        loan = self._loans[id(run)]()
        return loan is None or loan.run is None

    def _make_room(self) -> bool:
        if len(self._runs) < CAPTURED_AT_MOST:
            return True
        idle = next((x for x in self._runs if self._free(x[1])), None)
        if idle is None:
            return False
        self._runs.remove(idle)
        del self._loans[id(idle[1])]
        return True


LIBRARY = Library()
