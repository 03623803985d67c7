"""The Relational Memory Core as a module: a single step, and a sequence."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..ops.relational_memory.reference import step
from .base import RelationalMemoryBase, check_count, check_tensor


class Trace(NamedTuple):
    """Everything that can be looked at in a run over a sequence."""

    output: Tensor  # [T, B, N * M]
    attention: Tensor  # [T, blocks, B, H, N + n, N + n], queries then keys, memory before input
    input_gate: Tensor | None  # [T, B, N, G]
    forget_gate: Tensor | None  # [T, B, N, G]


class RelationalMemoryCell(RelationalMemoryBase):
    """One step of a Relational Memory Core, called like `torch.nn.LSTMCell`.

    The state is a matrix of ``mem_slots`` rows. At each step the rows and the input attend to each
    other, an MLP with residual connections works on each row, and gates decide what is kept
    (Santoro et al. 2018, section 3; the exact form is that of DeepMind's Sonnet v1,
    ``relational_memory.py`` at commit 989e397).

    Letters: B batch, I input size, N = ``mem_slots``, M = ``head_size * num_heads``.

    Args:
        input_size: size I of an input row.
        mem_slots: number N of memory slots.
        head_size: size of the values of one attention head.
        num_heads: number of heads.
        key_size: size of queries and keys; ``None`` takes ``head_size``.
        num_blocks: rounds of attention per step; each has its own projection and norms.
        attention_mlp_layers: layers of the MLP after the attention, shared by the blocks.
        gate_style: ``"unit"`` (a gate per element), ``"memory"`` (a gate per slot) or ``None``.
        forget_bias: constant added to the forget gate's logit.
        input_bias: constant added to the input gate's logit.
        input_rows: ``None`` for inputs ``[B, I]``; a number n for matrices ``[B, n, I]``
            (Sonnet's ``treat_input_as_matrix``).
        backend: ``"auto"`` or one of `relational_rnn.ops.relational_memory.BACKENDS`; a backend
            that cannot run raises.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ValueError: for an argument out of its range, naming it.
    """

    def forward(self, inputs: Tensor, memory: Tensor | None = None) -> Tensor:
        """One step.

        Args:
            inputs: ``[B, I]``, or ``[I]`` without a batch; with ``input_rows`` ``[B, n, I]`` or
                ``[n, I]``.
            memory: ``[B, N, M]`` (``[N, M]`` without a batch), never changed in place;
                default: `initial_state`.

        Returns:
            The next memory, in the shape of the memory. Its rows, flattened, are the output.

        Raises:
            TypeError: if inputs or memory are no tensor.
            ValueError: if a shape or a dtype does not fit.
        """
        _, memory = self._run(inputs, memory, time_dim=None, batch_dim=0)
        return memory


class RelationalMemory(RelationalMemoryBase):
    """A Relational Memory Core over a sequence, called like `torch.nn.LSTM`.

    ``output, memory = core(inputs, memory)``. The memory is batch-leading, ``[B, N, M]``, whatever
    ``batch_first`` says. Arguments are those of `RelationalMemoryCell`, and:

    Args:
        batch_first: inputs and outputs are ``[B, T, ...]`` instead of ``[T, B, ...]``.
        checkpoint_every: keep nothing but the memory of every so many steps for the backward
            pass, and compute the rest again there; ``None`` keeps all. The gradients are equal,
            but for rounding where the pieces are added up.

    It can be differentiated once; more often, and by `torch.func`, with ``backend="reference"``.
    Under `torch.compile` only that one is compiled, the others are a break in the graph: their
    loop is written out. `torch.export` gets it from ``"auto"`` too.
    """

    def __init__(
        self,
        *args: Any,
        batch_first: bool = False,
        checkpoint_every: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if checkpoint_every is not None:
            check_count("checkpoint_every", checkpoint_every)
        if not isinstance(batch_first, bool):
            raise ValueError(f"batch_first is {batch_first!r}; it takes True or False")
        self.batch_first = batch_first
        self.checkpoint_every = checkpoint_every

    def forward(self, inputs: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All steps of a sequence.

        Args:
            inputs: ``[T, B, I]``, ``[B, T, I]`` with ``batch_first``, ``[T, I]`` without a batch;
                with ``input_rows`` one dimension more, n, before I.
            memory: ``[B, N, M]`` (``[N, M]`` without a batch), never changed in place;
                default: `initial_state`.

        Returns:
            The output ``[T, B, N * M]`` (in the layout of the inputs): the flattened memory after
            each step. And the last memory, ``[B, N, M]``. No gradient is cut: detach the memory
            between windows of truncated back-propagation.

        Raises:
            TypeError: if inputs or memory are no tensor, such as a `PackedSequence`.
            ValueError: if a shape or a dtype does not fit.
        """
        time_dim, batch_dim = (1, 0) if self.batch_first else (0, 1)
        return self._run(inputs, memory, time_dim=time_dim, batch_dim=batch_dim)

    @torch.no_grad()
    def trace(self, inputs: Tensor, memory: Tensor | None = None) -> Trace:
        """Run without gradients and keep attention and gates; for looking, not for training.

        Hooks of the module do not run, so weights that one of them sets before each call (as
        `torch.nn.utils.prune` does) are those of the last call.

        Args:
            inputs: ``[T, B, I]``; with ``input_rows`` ``[T, B, n, I]``; ``batch_first`` is
                not considered.
            memory: ``[B, N, M]``; default: `initial_state`.

        Raises:
            TypeError: if inputs or memory are no tensor.
            ValueError: if a shape or a dtype does not fit.
        """
        check_tensor("inputs", inputs)
        if inputs.dim() != 3 + (self.input_rows is not None) or len(inputs) == 0:
            raise ValueError(f"inputs have shape {list(inputs.shape)}; it takes [T, B, ...]")
        self._check(inputs, memory, inputs.shape[1])
        inputs = inputs if self.input_rows is not None else inputs.unsqueeze(2)
        memory = self.initial_state(inputs.shape[1]) if memory is None else memory
        steps = []
        for row in inputs.unbind(0):
            steps.append(step(row, memory, self.core_parameters(), self.options))
            memory = steps[-1].memory
        output = torch.stack([one.memory for one in steps]).flatten(2)
        attention = torch.stack([one.attention for one in steps])
        if self.gate_style is None:
            return Trace(output, attention, None, None)
        input_gate = torch.stack([one.input_gate for one in steps if one.input_gate is not None])
        forget_gate = torch.stack([one.forget_gate for one in steps if one.forget_gate is not None])
        return Trace(output, attention, input_gate, forget_gate)
