"""Exact evaluation of a text as one stream, computed in parallel over pieces of it.

Every token is to be predicted with the memory of all tokens before it, which a recurrent model
would compute one token at a time. But its memory forgets: two different memories converge to the
same one after a few hundred equal words. So the text is cut into pieces:

1. All pieces are read in parallel, each from an empty memory.
2. Each piece is read again from the memory at the end of the previous piece, until the memory
   agrees with the first reading. From there on the first reading is valid.
3. If it never agrees, the memory at the end of the piece has changed, and the next piece is read
   again too. A model that does not forget is thus read as a single stream in the end: the result is
   the same, but slow.

Agreement is measured, not assumed. Relational memories forget within two hundred words after a
hundred training batches. Before that, a wide memory can be chaotic: the smallest difference grows
until it is as large as the memory itself. Such a model is read as a single stream, and its loss
depends on the rounding of each product.

Letters: N tokens of the text, L length of a piece, P pieces, T time, B pieces of a batch,
E features.
"""

from collections.abc import Callable, Sequence
from typing import Required, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..models.cores import State
from ..models.language_model import LanguageModel
from ..ops.precision import autocast
from ..progress import progress

Tokens = Sequence[int] | NDArray[np.integer]


class Reading(TypedDict, total=False):
    """Keyword arguments of :func:`over_text` that every evaluation method passes on."""

    start: Required[int]
    batch_size: int
    bptt: int
    precision: str


class TitledReading(Reading, total=False):
    """The same, with the title of the progress display."""

    title: str


SAME = {"32": 1e-5, "bf16-mixed": 1e-3}
"""Largest difference between two memories that agree, by precision; relative to the largest element
of the memory where that exceeds 1. A hundred times the rounding error of float32, a quarter of the
rounding error of bfloat16. It affects only the few tokens read until it is forgotten as well."""


@torch.no_grad()
def over_text(
    model: LanguageModel,
    tokens: Tokens,
    per_token: Callable[[Tensor, Tensor], Tensor],
    *,
    start: int,
    batch_size: int = 32,
    bptt: int = 100,
    precision: str = "32",
    title: str = "evaluating",
) -> Tensor:
    """Predict every token of a text from all tokens before it, and collect a value for each.

    Apart from rounding, ``batch_size`` and ``bptt`` affect the speed only, not the result. The
    model is in evaluation mode during the call.

    Args:
        model: runs on the device of its parameters.
        tokens: ids ``[N]`` of the text.
        per_token: maps features ``[T, B, E]`` and the tokens ``[T, B]`` predicted from them to the
            values to collect, ``[T, B, ...]``.
        start: id that precedes the first token, ``<eos>``.
        batch_size: pieces to read in parallel.
        bptt: tokens per piece and call.
        precision: "32" or "bf16-mixed".
        title: of the progress display.

    Returns:
        ``[N, ...]`` in the order of the text, on the CPU.

    Raises:
        ValueError: the text is empty, a size is below 1, or the precision is unknown.
    """
    if len(tokens) == 0:
        raise ValueError("tokens must hold at least one token, got none")
    if batch_size < 1 or bptt < 1:
        raise ValueError(f"batch_size and bptt must be at least 1, got {batch_size} and {bptt}")
    if precision not in SAME:
        raise ValueError(f"precision must be {' or '.join(map(repr, SAME))}, got {precision!r}")
    training = model.training
    model.eval()
    try:
        reading = _Reading(model, tokens, per_token, start, batch_size, bptt, precision)
        return reading.result(title)
    finally:
        model.train(training)


def as_ids(tokens: Tokens) -> Tensor:
    """The tokens as int64, in the same shape; a copy, since they may be a memory-mapped file."""
    return torch.from_numpy(np.array(tokens, dtype=np.int64))


class _Reading:
    """The pieces of one text, and the values and memories computed for each so far."""

    def __init__(
        self,
        model: LanguageModel,
        tokens: Tokens,
        per_token: Callable[[Tensor, Tensor], Tensor],
        start: int,
        batch_size: int,
        bptt: int,
        precision: str,
    ) -> None:
        device = next(model.parameters()).device
        targets = as_ids(tokens)
        self.length = -(-len(targets) // batch_size)
        self.pieces = -(-len(targets) // self.length)
        missing = self.pieces * self.length - len(
            targets
        )  # padding of the last piece, dropped later
        targets = torch.cat([targets, targets.new_full((missing,), start)])
        inputs = torch.cat([targets.new_tensor([start]), targets[:-1]])
        shape = (self.pieces, self.length)
        self.inputs = inputs.view(shape).T.to(device)  # [L, P]
        self.targets = targets.view(shape).T.to(device)
        self.tokens = len(tokens)
        self.model = model
        self.per_token = per_token
        self.bptt = bptt
        self.precision = precision
        self.collected: Tensor | None = None  # [P, L, ...]
        self.ends: State = ()
        self.snapshots: dict[int, State] = {}
        """Memory of the pieces after 1, 2, 4, 8 ... windows: few, and the first comes soon."""

    def result(self, title: str) -> Tensor:
        everything = torch.arange(self.pieces)
        empty = self.model.initial_state(self.pieces)
        self.ends = tuple(tensor.clone() for tensor in empty)
        with progress(title, self.pieces * self.length, unit="tokens") as advance:
            self.read(everything, empty, advance)
        stale = set(range(1, self.pieces))
        stuck = False
        final = 0  # pieces before the first stale one
        with progress(f"{title}, second pass", self.pieces, unit="pieces") as advance:
            while stale:
                advance(min(stale) - final)
                final = min(stale)
                # If nothing is forgotten, reading in parallel does not help: one piece at a time.
                again = torch.tensor(sorted(stale)[: 1 if stuck else None])
                changed = self.read(again, _part(self.ends, again - 1), lambda _: advance(0))
                stale -= set(again.tolist())
                stale |= {piece + 1 for piece in changed.tolist() if piece + 1 < self.pieces}
                stuck = len(changed) == len(again)
        assert self.collected is not None
        return self.collected.flatten(0, 1)[: self.tokens]

    def read(self, pieces: Tensor, state: State, advance: Callable[[int], None]) -> Tensor:
        """Read pieces from ``state``; return those whose final memory has changed.

        ``advance`` is called with the number of tokens of every window read.
        """
        device = self.inputs.device
        for number, first in enumerate(range(0, self.length, self.bptt), 1):
            window = slice(first, min(first + self.bptt, self.length))
            targets = self.targets[window, pieces]
            with autocast(device.type, low=self.precision == "bf16-mixed"):
                hidden, state = self.model.features(self.inputs[window, pieces], state)
                values = self.per_token(hidden, targets)  # [T, B, ...]
            advance(targets.numel())
            if self.collected is None:
                shape = (self.pieces, self.length, *values.shape[2:])
                self.collected = torch.empty(shape, dtype=values.dtype)
            self.collected[pieces, window] = values.transpose(0, 1).cpu()
            at_end = window.stop == self.length
            if at_end or number & (number - 1) == 0:
                known = self.ends if at_end else self.snapshots.get(number)
                if known is None:
                    self.snapshots[number] = tuple(tensor.clone() for tensor in state)
                    continue
                new = ~self.agree(state, _part(known, pieces))
                pieces, state = pieces[new], _part(state, new)
                for tensor, value in zip(known, state, strict=True):
                    tensor[pieces] = value.to(tensor.dtype)
            if not len(pieces):
                break
        return pieces

    def agree(self, state: State, other: State) -> Tensor:
        """Whether each piece has the same memory in both states, ``[B]`` bool."""
        agreed = torch.ones(len(state[0]), dtype=torch.bool)
        for one, two in zip(state, other, strict=True):
            difference = (one - two).abs().flatten(1).amax(1)
            size = two.abs().flatten(1).amax(1).clamp(min=1)
            agreed &= (difference <= SAME[self.precision] * size).cpu()
        return agreed


def _part(state: State, pieces: Tensor) -> State:
    return tuple(tensor[pieces.to(tensor.device)] for tensor in state)
