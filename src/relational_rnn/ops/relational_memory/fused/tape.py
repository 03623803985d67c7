"""What the backward pass needs of the forward pass: a few large tensors with time in front.

One allocation for each kind of tensor, not for each step: weight gradients over many steps need no
copies, and the views of all steps are made before the loop.
"""

from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ..hoist import Hoisted
from ..parameters import Options, Parameters, split_qkv
from .weights import Moments


class BlockTape(NamedTuple):
    """One block. It updates Q rows of each sequence and keeps the first of them, `keep` in all.

    With one block these are the memory's rows, b N in all. With several, the input rows are
    updated too, and dropped by the last block.
    """

    inputs: Tensor  # [T, b Q, M], product dtype
    difference: Tensor | None  # [T, b, F], for `PairAttention`: qkv of the slot minus the input's
    attended: Tensor  # [T, keep, M], rows plus attended values, before the norm
    hidden: list[Tensor]  # input of each MLP layer, [T, keep, M], product dtype
    mixed: Tensor  # [T, keep, M], rows plus MLP, before the norm
    parts: list[Tensor] | None = None  # [b, H, K or V], query, key and value of the difference

    def with_parts(self, o: Options) -> "BlockTape":
        """The same with `parts`, views of the difference."""
        if self.difference is None:
            return self
        return self._replace(parts=list(split_qkv(self.difference, o)))


class Tape(NamedTuple):
    """All steps; without the time axis: one step."""

    blocks: list[BlockTape]
    tanh_memory: Tensor | None  # [T, b N, M], tanh of the memory before the step, product dtype
    gates: Tensor | None  # [T, b N, 2 G], after the sigmoid
    candidate: Tensor | None  # [T, b N, M], after the tanh
    input_gate: Tensor | None = None  # [b N, G], a view of the gates of one step
    forget_gate: Tensor | None = None  # [b N, G], likewise

    @classmethod
    def empty(
        cls, steps: int, memory: Tensor, hoisted: Hoisted, p: Parameters, product: torch.dtype
    ) -> "Tape":
        """A tape to be written, for a memory ``[b, N, M]``."""
        batch, slots, size = memory.shape
        width = p.qkv_weight.shape[1]
        count = next(x.shape[2] for x in (hoisted.rows, hoisted.qkv) if x is not None)
        last = len(p.qkv_weight) - 1
        pair = last == 0 and slots == count == 1
        blocks = []
        for block in range(last + 1):
            queries = batch * (slots + count if last else slots)
            keep = batch * slots if block == last else queries
            blocks.append(
                BlockTape(
                    memory.new_empty(steps, queries, size, dtype=product),
                    memory.new_empty(steps, batch, width) if pair else None,
                    memory.new_empty(steps, keep, size),
                    [memory.new_empty(steps, keep, size, dtype=product) for _ in p.mlp_weight],
                    memory.new_empty(steps, keep, size),
                )
            )
        if p.gate_memory_weight is None:
            return cls(blocks, None, None, None)
        return cls(
            blocks,
            memory.new_empty(steps, batch * slots, size, dtype=product),
            memory.new_empty(steps, batch * slots, len(p.gate_memory_weight)),
            memory.new_empty(steps, batch * slots, size),
        )

    def by_step(self, o: Options) -> "list[Tape]":
        """The tape of each step, with views of its parts and gates."""
        whole = self._replace(blocks=[block.with_parts(o) for block in self.blocks])
        if self.gates is not None:
            input_gates, forget_gates = self.gates.chunk(2, -1)
            whole = whole._replace(input_gate=input_gates, forget_gate=forget_gates)
        return unbind(whole, len(self.blocks[0].inputs))


class BlockSaved(NamedTuple):
    """What else the backward pass of a block needs, of one step."""

    raw: Tensor  # [b Q, F], the qkv before their norm, product dtype
    moments: Moments  # of that norm
    weights: Tensor  # attention weights, as `Attention.forward` returns them
    attended: Moments  # of the norm after the attention
    mixed: Moments  # of the norm after the MLP


Tree = TypeVar("Tree")


def unbind(tree: Tree, steps: int) -> list[Tree]:
    """Split a nesting of tensors with time in front into a nesting of views for each step."""
    if tree is None:
        return [tree] * steps
    if isinstance(tree, Tensor):
        return list(tree.unbind(0))  # type: ignore[arg-type]
    branches = [unbind(branch, steps) for branch in tree]  # type: ignore[attr-defined]
    make: Any = list if isinstance(tree, list) else lambda row: type(tree)(*row)
    return [make(row) for row in zip(*branches, strict=True)] if branches else [tree] * steps


def pack(tree: Any, tensors: list[Tensor]) -> Any:
    """The same nesting with each tensor moved to `tensors` and replaced by its index there."""
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        tensors.append(tree)
        return len(tensors) - 1
    branches = [pack(branch, tensors) for branch in tree]
    return branches if isinstance(tree, list) else type(tree)(*branches)


def unpack(tree: Any, tensors: tuple[Tensor, ...]) -> Any:
    """The inverse of `pack`."""
    if tree is None:
        return None
    if isinstance(tree, int):
        return tensors[tree]
    branches = [unpack(branch, tensors) for branch in tree]
    return branches if isinstance(tree, list) else type(tree)(*branches)
