"""The Relational Memory Core as a module: a sequence of steps, and a single one."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..ops.relational_memory import BACKENDS, GateStyle, Options, Parameters, relational_memory
from ..ops.relational_memory.reference import step
from .sonnet import from_variables, to_variables

TRUNCATED_NORMAL_BOUND = 2.0  # standard deviations, as TensorFlow's truncated normal


class Trace(NamedTuple):
    """Everything that can be looked at in a run over a sequence."""

    output: Tensor  # [T, B, N * M]
    attention: Tensor  # [T, blocks, B, H, N + n, N + n], queries then keys, memory before input
    input_gate: Tensor | None  # [T, B, N, G]
    forget_gate: Tensor | None  # [T, B, N, G]


class RelationalMemoryBase(nn.Module):
    """What a step and a sequence share: arguments, parameters, initial memory, conversion."""

    recurrent_weights = ("qkv_weight", "mlp_weight", "gate_memory_weight")
    """Names of the weights that act on the memory, for DropConnect."""

    projection_weight: nn.Parameter

    def __init__(
        self,
        input_size: int,
        mem_slots: int,
        head_size: int,
        num_heads: int = 1,
        *,
        key_size: int | None = None,
        num_blocks: int = 1,
        attention_mlp_layers: int = 2,
        gate_style: GateStyle | None = "unit",
        forget_bias: float = 1.0,
        input_bias: float = 0.0,
        input_rows: int | None = None,
        backend: str = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        counts = {
            "input_size": input_size,
            "mem_slots": mem_slots,
            "head_size": head_size,
            "num_heads": num_heads,
            "key_size": head_size if key_size is None else key_size,
            "num_blocks": num_blocks,
            "attention_mlp_layers": attention_mlp_layers,
            "input_rows": 1 if input_rows is None else input_rows,
        }
        for name, value in counts.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; it takes a whole number of at least 1")
        if gate_style not in ("unit", "memory", None):
            raise ValueError(f"gate_style is {gate_style!r}; it takes 'unit', 'memory' or None")
        if backend != "auto" and backend not in BACKENDS:
            raise ValueError(f"backend is {backend!r}; it takes 'auto' or one of {list(BACKENDS)}")
        self.input_size = input_size
        self.mem_slots = mem_slots
        self.head_size = head_size
        self.num_heads = num_heads
        self.key_size = counts["key_size"]
        self.num_blocks = num_blocks
        self.attention_mlp_layers = attention_mlp_layers
        self.gate_style = gate_style
        self.forget_bias = float(forget_bias)
        self.input_bias = float(input_bias)
        self.input_rows = input_rows
        self.backend = backend
        self.mem_size = head_size * num_heads
        self.output_size = mem_slots * self.mem_size
        self._make_parameters(device=device, dtype=dtype)
        self.reset_parameters()

    def _make_parameters(self, **factory: Any) -> None:
        blocks, layers, size = self.num_blocks, self.attention_mlp_layers, self.mem_size
        width = self.num_heads * (2 * self.key_size + self.head_size)
        gates = {"unit": 2 * size, "memory": 2, None: 0}[self.gate_style]
        shapes: dict[str, tuple[int, ...]] = {
            "projection_weight": (size, self.input_size),
            "projection_bias": (size,),
            "qkv_weight": (blocks, width, size),
            "qkv_bias": (blocks, width),
            "qkv_norm_weight": (blocks, width),
            "qkv_norm_bias": (blocks, width),
            "attention_norm_weight": (blocks, size),
            "attention_norm_bias": (blocks, size),
            "mlp_weight": (layers, size, size),
            "mlp_bias": (layers, size),
            "mlp_norm_weight": (blocks, size),
            "mlp_norm_bias": (blocks, size),
            "gate_input_weight": (gates, (self.input_rows or 1) * size),
            "gate_input_bias": (gates,),
            "gate_memory_weight": (gates, size),
            "gate_memory_bias": (gates,),
        }
        for name in Parameters._fields:
            gateless = self.gate_style is None and name.startswith("gate_")
            value = None if gateless else nn.Parameter(torch.empty(shapes[name], **factory))
            self.register_parameter(name, value)

    def reset_parameters(self) -> None:
        """Draw new weights as Sonnet does: truncated normal of 1/sqrt(fan in), biases zero."""
        for name, parameter in self.named_parameters():
            if name.endswith("norm_weight"):
                nn.init.ones_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                std = parameter.shape[-1] ** -0.5
                bound = TRUNCATED_NORMAL_BOUND * std
                nn.init.trunc_normal_(parameter, std=std, a=-bound, b=bound)

    @property
    def options(self) -> Options:
        """The constants of the core, as the tensor functions take them."""
        return Options(
            self.num_heads,
            self.head_size,
            self.key_size,
            self.gate_style,
            self.forget_bias,
            self.input_bias,
        )

    def core_parameters(self) -> Parameters:
        """The learnt tensors, as the tensor functions take them."""
        return Parameters(*(getattr(self, name) for name in Parameters._fields))

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Memory ``[B, N, M]`` to start from: rows of the identity, padded or cut (Sonnet).

        Args:
            batch_size: number B of sequences.
            device: default: the parameters'.
            dtype: default: the parameters'.
        """
        like = self.projection_weight
        identity = torch.eye(
            self.mem_slots,
            self.mem_size,
            device=like.device if device is None else device,
            dtype=like.dtype if dtype is None else dtype,
        )
        return identity.repeat(batch_size, 1, 1)

    def _check(self, inputs: Tensor, memory: Tensor | None, batch_size: int | None) -> None:
        rows = () if self.input_rows is None else (self.input_rows,)
        expected = (*rows, self.input_size)
        if inputs.shape[-len(expected) :] != expected:
            raise ValueError(
                f"inputs have shape {list(inputs.shape)}; the last sizes must be {list(expected)}"
            )
        batch = () if batch_size is None else (batch_size,)
        state = (*batch, self.mem_slots, self.mem_size)
        if memory is not None and memory.shape != state:
            raise ValueError(f"memory has shape {list(memory.shape)}; it must be {list(state)}")

    def _run(
        self, inputs: Tensor, memory: Tensor | None, *, batch_dim: int
    ) -> tuple[Tensor, Tensor]:
        """Bring any accepted layout to ``[T, B, n, I]``, run, and bring the answer back."""
        row_dims = 1 if self.input_rows is None else 2
        if inputs.dim() not in (row_dims + 1, row_dims + 2):
            given = list(inputs.shape)
            raise ValueError(f"inputs have shape {given}; too many or too few dimensions")
        batched = inputs.dim() == row_dims + 2
        if not batched:
            inputs = inputs.unsqueeze(1)
            batch_dim = 1
        inputs = inputs.movedim(batch_dim, 1)  # [T, B, ...]
        batch_size = inputs.shape[1]
        self._check(inputs, memory, batch_size if batched else None)
        if inputs.shape[0] == 0:
            raise ValueError(f"inputs have shape {list(inputs.shape)}; T must be at least 1")
        if memory is None:
            memory = self.initial_state(batch_size)
        elif not batched:
            memory = memory.unsqueeze(0)
        if self.input_rows is None:
            inputs = inputs.unsqueeze(2)
        memories, memory = relational_memory(
            inputs, memory, self.core_parameters(), self.options, backend=self.backend
        )
        output = memories.flatten(2)  # [T, B, N * M]
        if not batched:
            return output.squeeze(1), memory.squeeze(0)
        return output.movedim(1, batch_dim), memory

    @classmethod
    def from_sonnet(cls, variables: Mapping[str, np.ndarray], **arguments: Any) -> Self:
        """A module with the weights of a Sonnet `RelationalMemory`.

        Args:
            variables: Sonnet's variable names to arrays, ``{"relational_memory/linear/w": ...}``.
                Any scope before the core's own names is accepted. float64 arrays give a float64
                module.
            **arguments: those of the constructor.

        Raises:
            ValueError: for a missing, unknown or misshapen variable, naming it.
        """
        module = cls(**arguments)
        state = from_variables(
            variables,
            {name: tuple(value.shape) for name, value in module.state_dict().items()},
        )
        module.to(next(iter(state.values())).dtype)
        module.load_state_dict(state)
        return module

    def to_sonnet(self) -> dict[str, np.ndarray]:
        """The weights under Sonnet's variable names, ready for `from_sonnet`."""
        return to_variables(self.state_dict())

    def extra_repr(self) -> str:
        """The arguments that differ from the defaults, for ``print(module)``."""
        text = (
            f"{self.input_size}, mem_slots={self.mem_slots}, head_size={self.head_size}, "
            f"num_heads={self.num_heads}, key_size={self.key_size}, num_blocks={self.num_blocks}, "
            f"attention_mlp_layers={self.attention_mlp_layers}, gate_style={self.gate_style!r}"
        )
        return text if self.backend == "auto" else f"{text}, backend={self.backend!r}"


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
            ValueError: if a shape does not fit.
        """
        _, memory = self._run(inputs.unsqueeze(0), memory, batch_dim=1)
        return memory


class RelationalMemory(RelationalMemoryBase):
    """A Relational Memory Core over a sequence, called like `torch.nn.LSTM`.

    ``output, memory = core(inputs, memory)``. The memory is batch-leading, ``[B, N, M]``, whatever
    ``batch_first`` says. Arguments are those of `RelationalMemoryCell`, and:

    Args:
        batch_first: inputs and outputs are ``[B, T, ...]`` instead of ``[T, B, ...]``.
    """

    def __init__(self, *args: Any, batch_first: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch_first = batch_first

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
            ValueError: if a shape does not fit.
        """
        return self._run(inputs, memory, batch_dim=0 if self.batch_first else 1)

    @torch.no_grad()
    def trace(self, inputs: Tensor, memory: Tensor | None = None) -> Trace:
        """Run without gradients and keep attention and gates; for looking, not for training.

        Args:
            inputs: ``[T, B, I]``; with ``input_rows`` ``[T, B, n, I]``; ``batch_first`` is
                not considered.
            memory: as in `forward`.
        """
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
