"""Sequences of several lengths, and sequences that start anew on the way.

A segment is a stretch of one sequence that begins with the initial memory (or the given one, at the
first step) and that nothing interrupts. Segments do not depend on each other, so they run side by
side, as sequences of their own: any backend can do it, padding is not computed, and a long sequence
that is cut often takes fewer steps than it has. Segments of similar length share a call.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .parameters import Interruptions

Run = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Inputs ``[T, B, n, I]`` and memory ``[B, N, M]`` to memories ``[T, B, N, M]`` and the last."""


class Segments(NamedTuple):
    """The segments of a batch, S in all; each tensor is ``[S]``."""

    sequence: Tensor  # index of the sequence that it is a part of
    first: Tensor  # its first step
    length: Tensor  # its number of steps, at least 1
    goes_on: Tensor  # whether it begins with the memory that is given


def run_segments(
    run: Run, inputs: Tensor, memory: Tensor, interruptions: Interruptions
) -> tuple[Tensor, Tensor]:
    """All steps of sequences that end early or start anew.

    Segments of a call are padded to its longest, which is less than twice the shortest. So at most
    twice as much is computed as the sequences need, in at most log2(T) + 1 calls.

    Args:
        run: runs whole sequences.
        inputs: ``[T, B, n, I]``.
        memory: ``[B, N, M]``, before the first step.
        interruptions: where sequences end or start anew.

    Returns:
        The memory after each step ``[T, B, N, M]``, zeros after the end of a sequence, and the
        memory after the last step of each sequence ``[B, N, M]``.
    """
    lengths, reset, initial = interruptions
    steps, batch = reset.shape
    found = segments(lengths, reset)
    rows = inputs.flatten(0, 1)
    places, values = [], []
    longest = steps
    while longest:
        own = (found.length <= longest) & (found.length > longest // 2)
        longest //= 2
        sequence, first, length, goes_on = (x[own] for x in found)
        if len(sequence) == 0:
            continue
        step = torch.arange(int(length.max()), device=inputs.device)[:, None]
        # a segment that is shorter than others reads its own last input again
        place = (first + step.minimum(length - 1)) * batch + sequence
        begin = torch.where(goes_on[:, None, None], memory[sequence], initial)
        memories, _ = run(rows[place], begin)
        own_steps = step < length
        places.append(place[own_steps])
        values.append(memories[own_steps])
    empty = memory.new_zeros(steps * batch, *memory.shape[1:])
    if not places:  # an empty run, so that gradients, zeros, can be asked for all the same
        nothing, _ = run(inputs[:1, :0], memory[:0])
        return (empty + nothing.sum()).view(steps, *memory.shape), memory
    memories = empty.index_copy(0, torch.cat(places), torch.cat(values))
    memories = memories.view(steps, *memory.shape)
    last = memories[(lengths - 1).clamp(min=0), torch.arange(batch, device=inputs.device)]
    return memories, torch.where((lengths > 0)[:, None, None], last, memory)


def segments(lengths: Tensor, reset: Tensor) -> Segments:
    """The segments, by sequence and then by time.

    Args:
        lengths: ``[B]`` int64.
        reset: ``[T, B]`` bool; resets after the end of a sequence do not count.
    """
    begins = reset.T.clone()  # [B, T]
    begins[:, 0] = True
    begins &= torch.arange(len(reset), device=reset.device) < lengths[:, None]
    sequence, first = begins.nonzero(as_tuple=True)
    end = lengths[sequence]
    same = sequence[1:] == sequence[:-1]
    end[:-1] = torch.where(same, first[1:], end[:-1])
    return Segments(sequence, first, end - first, (first == 0) & ~reset[0, sequence])
