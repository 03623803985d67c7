"""All memory of the loop, allocated at once so that a CUDA graph can be replayed on it."""

from typing import NamedTuple, Self

import torch
from torch import Tensor

from ..parameters import Parameters


class Sizes(NamedTuple):
    """What buffers and kernels depend on; letters as in `Options`, R = B N rows of the memory."""

    steps: int
    batch: int
    slots: int
    extra: int  # n, input rows
    heads: int
    key: int
    head: int
    layers: int
    gates: int  # G; 0 without gates
    product: torch.dtype  # of matrix products
    state: torch.dtype  # of everything else
    device: torch.device

    @property
    def memory_width(self) -> int:
        """M."""
        return self.heads * self.head

    @property
    def qkv_width(self) -> int:
        """F."""
        return self.heads * (2 * self.key + self.head)


class WeightBuffers(NamedTuple):
    """Copies of the parameters of the loop: norms in the state dtype, others in the product's."""

    qkv_weight: Tensor  # [1, F, M]
    qkv_bias: Tensor  # [1, F]
    mlp_weight: Tensor  # [L, M, M]
    mlp_bias: Tensor  # [L, M]
    gate_memory_weight: Tensor  # [2 G, M]
    qkv_norm_weight: Tensor  # [1, F]
    qkv_norm_bias: Tensor  # [1, F]
    attention_norm_weight: Tensor  # [1, M]
    attention_norm_bias: Tensor  # [1, M]
    mlp_norm_weight: Tensor  # [1, M]
    mlp_norm_bias: Tensor  # [1, M]


class ForwardBuffers(NamedTuple):
    """What the forward loop reads and writes. D = T, or 1 where no backward pass follows."""

    memories: Tensor  # [T + 1, R, M], the first is before the first step
    extra: Tensor  # [T, B, n, F], hoisted: normalised qkv of the input rows
    from_input: Tensor  # [T, B, 2 G], hoisted
    inputs: Tensor  # [D + 1, R, M], memory in the product dtype
    tanh_memory: Tensor  # [D + 1, R, M], its tanh in the product dtype
    qkv: Tensor  # [D, R, F], before the norm
    normaliser: Tensor  # [D, R, H]
    sums: Tensor  # [D, R, M], memory plus attended values
    layers: Tensor  # [L + 1, D, R, M], input of each MLP layer, output of the last
    from_memory: Tensor  # [D, R, 2 G]


class BackwardBuffers(NamedTuple):
    """What the backward loop reads (the first two) and writes: gradients."""

    memories: Tensor  # [T, R, M]
    direct: Tensor  # [R, M], of the last memory; then as in `gate_update_backward`
    extra: Tensor  # [T, B, n, F]
    logits: Tensor  # [T, R, 2 G]
    layers: Tensor  # [L, T, R, M], of each MLP layer's output before its ReLU
    qkv: Tensor  # [T, R, F]
    rows: Tensor  # [R, M], of the MLP's input through the MLP
    tanh_memory: Tensor  # [R, M]
    inputs: Tensor  # [R, M]
    residual: Tensor  # [R, M], of the MLP's input through the residual connection
    sums: Tensor  # [R, M]
    norms: Tensor  # [R, 2 F + 4 M], of gains and biases, see `norm_parts`

    def norm_parts(self, sizes: Sizes) -> tuple[Tensor, ...]:
        """Gain and bias of the qkv norm, of the norm after attention, and of the one after the MLP.

        Each is ``[R, F]`` or ``[R, M]``, contiguous.
        """
        m, f = sizes.memory_width, sizes.qkv_width
        rows = len(self.direct)
        parts = torch.split(self.norms.view(-1), [rows * width for width in (f, f, m, m, m, m)])
        return tuple(part.view(rows, -1) for part in parts)


class Buffers(NamedTuple):
    """All of them."""

    sizes: Sizes
    weights: WeightBuffers
    forward: ForwardBuffers
    backward: BackwardBuffers | None

    @classmethod
    def allocate(cls, s: Sizes, *, keep_tape: bool) -> Self:
        """New buffers; with `keep_tape` a backward pass is possible."""
        m, f = s.memory_width, s.qkv_width
        rows, kept, gates = s.batch * s.slots, s.steps if keep_tape else 1, 2 * s.gates

        def product(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=s.product, device=s.device)

        def state(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=s.state, device=s.device)

        weights = WeightBuffers(
            product(1, f, m),
            product(1, f),
            product(s.layers, m, m),
            product(s.layers, m),
            product(gates, m),
            *(state(1, f), state(1, f), state(1, m), state(1, m), state(1, m), state(1, m)),
        )
        forward = ForwardBuffers(
            state(s.steps + 1, rows, m),
            state(s.steps, s.batch, s.extra, f),
            state(s.steps, s.batch, gates),
            product(kept + 1, rows, m),
            product(kept + 1, rows, m),
            product(kept, rows, f),
            state(kept, rows, s.heads),
            state(kept, rows, m),
            product(s.layers + 1, kept, rows, m),
            product(kept, rows, gates),
        )
        backward = None
        if keep_tape:
            backward = BackwardBuffers(
                state(s.steps, rows, m),
                state(rows, m),
                state(s.steps, s.batch, s.extra, f),
                product(s.steps, rows, gates),
                product(s.layers, s.steps, rows, m),
                product(s.steps, rows, f),
                *(product(rows, m), product(rows, m), product(rows, m)),
                *(state(rows, m), state(rows, m)),
                state(rows, 2 * f + 4 * m),
            )
        return cls(s, weights, forward, backward)

    def load(self, memory: Tensor, extra: Tensor, gates: Tensor | None, p: Parameters) -> None:
        """Copy a problem into the buffers.

        Args:
            memory: ``[B, N, M]``, before the first step.
            extra: ``[T, B, n, F]``, normalised qkv of the input rows.
            gates: ``[T, B, 2 G]``, the inputs' share of the gate logits; None without gates.
            p: the parameters.
        """
        self.forward.memories[0].copy_(memory.flatten(0, 1))
        self.forward.extra.copy_(extra)
        if gates is not None:
            self.forward.from_input.copy_(gates)
        for name in WeightBuffers._fields:
            value = getattr(p, name)
            if value is not None:
                getattr(self.weights, name).copy_(value)
