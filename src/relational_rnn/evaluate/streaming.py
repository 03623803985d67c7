"""Run a model over a text as one stream, many places of it at a time, and still exactly.

A text is one stream: each token is predicted with the memory of everything before it. A recurrent
model would have to read it a token at a time. But its memory forgets: from two different memories
and the same words it arrives, some hundred words on, at the same memory. So the text is cut into
pieces that are read side by side, each from an empty memory, and then the seams are mended: each
piece is read again from where the piece before it really ended, until its memory agrees with that
of the first reading; from there on the first reading stands. Where it never agrees, the memory at
the end of the piece is new, and the next piece has to be read again too. A model that does not
forget is thus read in one stream in the end, with the same result, and slowly.

Nothing is assumed: agreement is measured. Relational memories that have seen a hundred batches
forget within two hundred words. Before that a wide one can be chaotic: the least difference grows
until it is as large as the memory. It is then read in one stream, but its loss, like that of any
chaotic system, depends on how each product happens to be rounded.

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

Tokens = Sequence[int] | NDArray[np.integer]


class Reading(TypedDict, total=False):
    """How a text is read; the arguments of `over_text` that every method passes on."""

    start: Required[int]
    batch_size: int
    bptt: int
    precision: str


SAME = {"32": 1e-5, "bf16-mixed": 1e-3}
"""Largest difference of two memories that counts as none, by precision; relative to the memory's
largest element where that is above 1. A hundred times the rounding of float32, a quarter of that of
bfloat16. It touches only the few tokens that are read before the difference is forgotten too."""


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
) -> Tensor:
    """Predict every token of a text from all the tokens before it, and collect something of each.

    The result does not depend on ``batch_size`` and ``bptt`` (up to rounding); the time does.
    The model is put into evaluation mode meanwhile.

    Args:
        model: runs on the device of its parameters.
        tokens: ids of the text, N of them.
        per_token: from features ``[T, B, E]`` and the tokens ``[T, B]`` to predict with them, to
            what to collect, ``[T, B, ...]``.
        start: id that stands before the first token, ``<eos>``.
        batch_size: pieces to read side by side.
        bptt: tokens of a piece to read in one call.
        precision: "32" or "bf16-mixed".

    Returns:
        ``[N, ...]`` in the order of the text, on the CPU.

    Raises:
        ValueError: an empty text, a size below 1, an unknown precision.
    """
    if len(tokens) == 0:
        raise ValueError("tokens is empty; it takes at least one token")
    if batch_size < 1 or bptt < 1:
        raise ValueError(f"batch_size is {batch_size}, bptt is {bptt}; they take 1 or more")
    if precision not in SAME:
        raise ValueError(f"precision is {precision!r}; it takes one of {list(SAME)}")
    training = model.training
    model.eval()
    try:
        reading = _Reading(model, tokens, per_token, start, batch_size, bptt, precision)
        return reading.result()
    finally:
        model.train(training)


def as_ids(tokens: Tokens) -> Tensor:
    """The tokens as int64, in their shape; copied, for they may lie in a file."""
    return torch.from_numpy(np.array(tokens, dtype=np.int64))


class _Reading:
    """The pieces of one text, and what is known of each so far."""

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
        missing = self.pieces * self.length - len(targets)  # the end of the last piece, not kept
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
        """Memory of the pieces after 1, 2, 4, 8 ... windows: few, and one is soon reached."""

    def result(self) -> Tensor:
        everything = torch.arange(self.pieces)
        empty = self.model.initial_state(self.pieces)
        self.ends = tuple(tensor.clone() for tensor in empty)
        self.read(everything, empty)
        stale = set(range(1, self.pieces))
        stuck = False
        while stale:
            # Reading side by side is of no use when nothing is forgotten: then one by one.
            again = torch.tensor(sorted(stale)[: 1 if stuck else None])
            changed = self.read(again, _part(self.ends, again - 1))
            stale -= set(again.tolist())
            stale |= {piece + 1 for piece in changed.tolist() if piece + 1 < self.pieces}
            stuck = len(changed) == len(again)
        assert self.collected is not None
        return self.collected.flatten(0, 1)[: self.tokens]

    def read(self, pieces: Tensor, state: State) -> Tensor:
        """Read pieces from ``state``; return those whose end is not what it was before."""
        device = self.inputs.device
        for number, first in enumerate(range(0, self.length, self.bptt), 1):
            window = slice(first, min(first + self.bptt, self.length))
            targets = self.targets[window, pieces]
            with autocast(device.type, low=self.precision == "bf16-mixed"):
                hidden, state = self.model.features(self.inputs[window, pieces], state)
                values = self.per_token(hidden, targets)  # [T, B, ...]
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
        """Which of the pieces have the same memory in both, ``[B]``."""
        agreed = torch.ones(len(state[0]), dtype=torch.bool)
        for one, two in zip(state, other, strict=True):
            difference = (one - two).abs().flatten(1).amax(1)
            size = two.abs().flatten(1).amax(1).clamp(min=1)
            agreed &= (difference <= SAME[self.precision] * size).cpu()
        return agreed


def _part(state: State, pieces: Tensor) -> State:
    return tuple(tensor[pieces.to(tensor.device)] for tensor in state)
