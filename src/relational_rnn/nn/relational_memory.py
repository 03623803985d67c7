"""The Relational Memory Core as modules: a single step and a sequence, with the same parameters."""

import inspect
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self, cast, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..ops.relational_memory import (
    GateInputs,
    GateStyle,
    Interruptions,
    Options,
    Parameters,
    check_backend,
    relational_memory,
)
from ..ops.relational_memory.reference import step
from .arguments import check_count, check_number, check_reset, check_share, check_tensor
from .sharing import Shareable
from .sonnet import from_variables, to_variables

TRUNCATED_NORMAL_BOUND = 2.0  # standard deviations, as TensorFlow's truncated normal


class RelationalMemoryBase(Shareable):
    """Parameters, initial memory and conversion of a core; see `RelationalMemoryCell`."""

    projection_weight: nn.Parameter
    batch_first: bool = False
    num_layers: int = 1
    dropout: float = 0.0
    checkpoint_every: int | None = None

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
        gate_inputs: GateInputs = "projected",
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
        counts = {name: check_count(name, value) for name, value in counts.items()}
        check_number("forget_bias", forget_bias)
        check_number("input_bias", input_bias)
        known = isinstance(gate_style, str) and gate_style in ("unit", "memory")
        if not known and gate_style is not None:
            raise ValueError(f"gate_style must be 'unit', 'memory' or None, got {gate_style!r}")
        if not isinstance(gate_inputs, str) or gate_inputs not in ("projected", "raw"):
            raise ValueError(f"gate_inputs must be 'projected' or 'raw', got {gate_inputs!r}")
        check_backend(backend)
        self.input_size = counts["input_size"]
        self.mem_slots = counts["mem_slots"]
        self.head_size = counts["head_size"]
        self.num_heads = counts["num_heads"]
        self.key_size = counts["key_size"]
        self.num_blocks = counts["num_blocks"]
        self.attention_mlp_layers = counts["attention_mlp_layers"]
        self.gate_style = gate_style
        self.gate_inputs: GateInputs = gate_inputs
        self.forget_bias = float(forget_bias)
        self.input_bias = float(input_bias)
        self.input_rows = None if input_rows is None else counts["input_rows"]
        self.backend = backend
        self.mem_size = self.head_size * self.num_heads
        self.output_size = self.mem_slots * self.mem_size
        if self.mem_slots > self.mem_size + 1:
            warnings.warn(
                f"mem_slots ({self.mem_slots}) is more than the width of the memory, head_size * "
                f"num_heads ({self.mem_size}): the slots beyond it all start as zeros and stay "
                "equal to each other",
                stacklevel=3,
            )
        self._make_parameters(device=device, dtype=dtype)
        self.reset_parameters()

    def _make_parameters(self, **factory: Any) -> None:
        blocks, layers, size = self.num_blocks, self.attention_mlp_layers, self.mem_size
        width = self.num_heads * (2 * self.key_size + self.head_size)
        gates = {"unit": 2 * size, "memory": 2, None: 0}[self.gate_style]
        read = self.input_size if self.gate_inputs == "raw" else size
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
            "gate_input_weight": (gates, (self.input_rows or 1) * read),
            "gate_input_bias": (gates,),
            "gate_memory_weight": (gates, size),
            "gate_memory_bias": (gates,),
        }
        for name in Parameters._fields:
            absent = self.gate_style is None and name.startswith("gate_")
            value = None if absent else nn.Parameter(torch.empty(shapes[name], **factory))
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

    def arguments(self) -> dict[str, Any]:
        """The arguments of the constructor, without device and dtype."""
        names = inspect.signature(type(self)).parameters.keys() - {"device", "dtype"}
        return {name: getattr(self, name) for name in sorted(names) if hasattr(self, name)}

    @property
    def recurrent_weights(self) -> list[str]:
        """Names of the weights that act on the memory, for DropConnect."""
        names = ("qkv_weight", "mlp_weight", "gate_memory_weight")
        return [name for name, _ in self.named_parameters() if name.rpartition(".")[2] in names]

    @property
    def options(self) -> Options:
        """The constants, as `ops.relational_memory` expects them."""
        return Options(
            self.num_heads,
            self.head_size,
            self.key_size,
            self.gate_style,
            self.forget_bias,
            self.input_bias,
            self.gate_inputs,
        )

    @property
    def state_shape(self) -> tuple[int, ...]:
        """The shape of the memory of one sequence."""
        return self.mem_slots, self.mem_size

    def core_parameters(self) -> Parameters:
        """The trainable tensors, as `ops.relational_memory` expects them."""
        # looked up here first: a module's own lookup is ten times as slow
        own: dict[str, Any] = self._parameters
        return Parameters(
            *(own[name] if name in own else getattr(self, name) for name in Parameters._fields)
        )

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """The initial memory ``[B, N, M]``: rows of the identity, padded or truncated (Sonnet).

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
        """Raise if shapes or dtypes do not match; without a batch, `batch_size` is None."""
        rows = () if self.input_rows is None else (self.input_rows,)
        expected = (*rows, self.input_size)
        if inputs.shape[-len(expected) :] != expected:
            what = "two dimensions" if rows else "dimension"
            sizes = list(expected) if rows else self.input_size
            raise ValueError(
                f"the last {what} of inputs must be {sizes}, got shape {list(inputs.shape)}"
            )
        dtype = self.projection_weight.dtype
        # autocast converts neither from nor to float64
        double = torch.float64 in (inputs.dtype, dtype)
        if inputs.dtype != dtype and (double or not _is_converted(inputs)):
            raise ValueError(f"inputs must be {dtype} like the parameters, got {inputs.dtype}")
        if memory is None:
            return
        check_tensor("memory", memory)
        batch = () if batch_size is None else (batch_size,)
        state = (*batch, *self.state_shape)
        if memory.shape != state:
            raise ValueError(f"memory must have shape {list(state)}, got {list(memory.shape)}")
        if memory.dtype != dtype and not _is_converted(memory):
            raise ValueError(f"memory must be {dtype} like the parameters, got {memory.dtype}")

    def _to_sequence(
        self, inputs: Tensor, memory: Tensor | None, *, time_dim: int | None, batch_dim: int
    ) -> tuple[Tensor, Tensor, bool]:
        """Check the arguments and bring them to the layout of `relational_memory`.

        Args:
            inputs: with or without a batch.
            memory: of each sequence, or None.
            time_dim: of batched inputs; None for a single step.
            batch_dim: of batched inputs.

        Returns:
            Inputs ``[T, B, n, I]``, memory ``[B, N, M]``, and whether there was a batch.
        """
        check_tensor("inputs", inputs)
        row_dims = 1 if self.input_rows is None else 2
        unbatched_dims = row_dims + (time_dim is not None)
        given = list(inputs.shape)
        if inputs.dim() not in (unbatched_dims, unbatched_dims + 1):
            raise ValueError(
                f"inputs must have {unbatched_dims} or {unbatched_dims + 1} dimensions, got shape "
                f"{given}"
            )
        batched = inputs.dim() > unbatched_dims
        self._check(inputs, memory, given[batch_dim] if batched else None)
        if time_dim is None:
            inputs = inputs.unsqueeze(0)
            batch_dim = 1
        if not batched:
            inputs = inputs.unsqueeze(1)
            batch_dim = 1
        if batch_dim == 0:
            inputs = inputs.transpose(0, 1)  # [T, B, ...]
        if inputs.shape[0] == 0:
            raise ValueError(f"inputs must have at least one step (T), got shape {given}")
        if memory is None:
            memory = self.initial_state(inputs.shape[1])
        elif not batched:
            memory = memory.unsqueeze(0)
        memory = memory.to(self.projection_weight.dtype)  # may differ under autocast
        if self.input_rows is None:
            inputs = inputs.unsqueeze(2)
        return inputs, memory, batched

    @classmethod
    def from_sonnet(cls, variables: Mapping[str, np.ndarray], **arguments: Any) -> Self:
        """A module with the weights of a Sonnet `RelationalMemory`.

        Args:
            variables: Sonnet's variable names to arrays, ``{"relational_memory/linear/w": ...}``.
                Any scope in front of the core's own names is accepted. float64 arrays give a
                float64 module, unless ``dtype`` is given.
            **arguments: of the constructor.

        Raises:
            ValueError: for a missing or unknown variable or one of another shape, naming it, or
                ``gate_inputs="raw"``.
        """
        module = cls(**arguments)
        module._refuse_sonnet()
        state = from_variables(
            variables,
            {name: tuple(value.shape) for name, value in module.state_dict().items()},
        )
        if arguments.get("dtype") is None:
            module.to(next(iter(state.values())).dtype)
        module.load_state_dict(state)
        return module

    def to_sonnet(self) -> dict[str, np.ndarray]:
        """The weights under Sonnet's variable names, ready for `from_sonnet`.

        Raises:
            ValueError: there are several layers, or gates that read raw inputs.
        """
        self._refuse_sonnet()
        named = zip(Parameters._fields, self.core_parameters(), strict=True)
        return to_variables({name: value for name, value in named if value is not None})

    def _refuse_sonnet(self) -> None:
        self._refuse_layers("Sonnet")
        if self.gate_style is not None and self.gate_inputs == "raw":
            raise ValueError("Sonnet's gates read the projected inputs, gate_inputs is 'raw' here")

    def _refuse_layers(self, what: str) -> None:
        if self.num_layers > 1:
            raise ValueError(f"{what} takes one layer, this module has {self.num_layers}")

    def extra_repr(self) -> str:
        """The sizes, and the other arguments that differ from their defaults."""
        sizes = ("mem_slots", "head_size", "num_heads")
        others = {
            "key_size": self.head_size,
            "num_blocks": 1,
            "attention_mlp_layers": 2,
            "gate_style": "unit",
            "gate_inputs": "projected",
            "forget_bias": 1.0,
            "input_bias": 0.0,
            "input_rows": None,
            "backend": "auto",
            "batch_first": False,
            "num_layers": 1,
            "dropout": 0.0,
            "checkpoint_every": None,
        }
        shown = [name for name, default in others.items() if getattr(self, name) != default]
        values = (f"{name}={getattr(self, name)!r}" for name in (*sizes, *shown))
        return ", ".join([str(self.input_size), *values])


class RelationalMemoryCell(RelationalMemoryBase):
    """One step of a Relational Memory Core, called like `torch.nn.LSTMCell`.

    The state is a matrix of ``mem_slots`` rows. At each step the rows and the input attend to each
    other, an MLP with residual connections is applied to each row, and gates decide what is kept
    (Santoro et al. 2018, section 3). This follows DeepMind's Sonnet v1, ``relational_memory.py`` at
    commit 989e397.

    Letters: B batch, I input size, N = ``mem_slots``, M = ``head_size * num_heads``.

    Args:
        input_size: size I of an input row.
        mem_slots: number N of memory slots.
        head_size: size of the values of one attention head.
        num_heads: number of attention heads.
        key_size: size of queries and keys; None for ``head_size``.
        num_blocks: rounds of attention per step; each has its own projection and norms.
        attention_mlp_layers: layers of the MLP after the attention, shared by the blocks.
        gate_style: ``"unit"`` (a gate per element), ``"memory"`` (a gate per slot) or None.
        gate_inputs: what the gates read besides the memory: the ``"projected"`` input, as in
            Sonnet, or the ``"raw"`` one, which has fewer weights if I is below M.
        forget_bias: constant added to the forget gate's logits.
        input_bias: constant added to the input gate's logits.
        input_rows: None for inputs ``[B, I]``; n for matrices ``[B, n, I]`` (Sonnet's
            ``treat_input_as_matrix``).
        backend: ``"auto"`` or a name in `relational_rnn.ops.relational_memory.BACKENDS`; a backend
            that cannot run raises.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ValueError: for an argument out of range, naming it.
    """

    def forward(self, inputs: Tensor, memory: Tensor | None = None) -> Tensor:
        """One step.

        Args:
            inputs: ``[B, I]``, or ``[I]`` without a batch; with ``input_rows`` ``[B, n, I]`` or
                ``[n, I]``.
            memory: ``[B, N, M]`` (``[N, M]`` without a batch), not modified; default:
                `initial_state`.

        Returns:
            The next memory, in the shape of the memory. Its rows, flattened, are the output.

        Raises:
            TypeError: if inputs or memory are not tensors.
            ValueError: if a shape or a dtype does not match.
        """
        inputs, memory, batched = self._to_sequence(inputs, memory, time_dim=None, batch_dim=0)
        _, memory = relational_memory(
            inputs, memory, self.core_parameters(), self.options, backend=self.backend
        )
        return memory if batched else memory.squeeze(0)


class RelationalMemory(RelationalMemoryBase):
    """A Relational Memory Core over a sequence, called like `torch.nn.LSTM`.

    ``output, memory = core(inputs, memory)``. The memory is batch-leading, ``[B, N, M]``, even with
    ``batch_first=False``. Sequences of several lengths are padded (``lengths``) or packed, and may
    start anew on the way (``reset``).

    It can be differentiated once; twice, and by `torch.func`, with ``backend="reference"``.
    `torch.compile` compiles only that backend; the others are a graph break, since their loop is
    already written out. Under `torch.export` ``"auto"`` means ``"reference"``.

    Args:
        input_size: size I of an input row.
        mem_slots: number N of memory slots.
        head_size: size of the values of one attention head.
        num_heads: number of attention heads.
        key_size: size of queries and keys; None for ``head_size``.
        num_blocks: rounds of attention per step; each has its own projection and norms.
        attention_mlp_layers: layers of the MLP after the attention, shared by the blocks.
        gate_style: ``"unit"`` (a gate per element), ``"memory"`` (a gate per slot) or None.
        gate_inputs: what the gates read besides the memory: the ``"projected"`` input, as in
            Sonnet, or the ``"raw"`` one, which has fewer weights if I is below M.
        forget_bias: constant added to the forget gate's logits.
        input_bias: constant added to the input gate's logits.
        input_rows: None for one input row per step; n for matrices of n rows.
        backend: ``"auto"`` or a name in `relational_rnn.ops.relational_memory.BACKENDS`; a backend
            that cannot run raises.
        num_layers: number L of layers; each reads the output of the one below. The memory of
            several layers is ``[B, L, N, M]``.
        dropout: rate of the dropout on the output of each layer but the last, in training.
        batch_first: inputs and outputs are ``[B, T, ...]`` instead of ``[T, B, ...]``.
        bidirectional: not supported; True raises.
        checkpoint_every: keep only the memory of every so many steps for the backward pass, and
            recompute the rest there; None keeps everything. The gradients are equal up to rounding
            where the pieces are added.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ValueError: for an argument out of range, naming it.
    """

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
        gate_inputs: GateInputs = "projected",
        forget_bias: float = 1.0,
        input_bias: float = 0.0,
        input_rows: int | None = None,
        backend: str = "auto",
        num_layers: int = 1,
        dropout: float = 0.0,
        batch_first: bool = False,
        bidirectional: bool = False,
        checkpoint_every: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not isinstance(batch_first, bool):
            raise ValueError(f"batch_first must be True or False, got {batch_first!r}")
        if bidirectional:
            raise ValueError(
                "bidirectional is not supported: run a second core on inputs.flip(0), see "
                "docs/module.md"
            )
        if checkpoint_every is not None:
            checkpoint_every = check_count("checkpoint_every", checkpoint_every)
        check_share("dropout", dropout)
        num_layers = check_count("num_layers", num_layers)
        arguments: dict[str, Any] = {
            "mem_slots": mem_slots,
            "head_size": head_size,
            "num_heads": num_heads,
            "key_size": key_size,
            "num_blocks": num_blocks,
            "attention_mlp_layers": attention_mlp_layers,
            "gate_style": gate_style,
            "gate_inputs": gate_inputs,
            "forget_bias": forget_bias,
            "input_bias": input_bias,
            "backend": backend,
            "device": device,
            "dtype": dtype,
        }
        super().__init__(input_size, input_rows=input_rows, **arguments)
        self.batch_first = batch_first
        self.checkpoint_every = checkpoint_every
        self.num_layers = num_layers
        self.dropout = float(dropout)
        if dropout and num_layers == 1:
            warnings.warn("dropout acts between layers, and there is one layer", stacklevel=2)
        self.layers_above: Iterable[RelationalMemory] = ()
        if num_layers > 1:  # an empty list of modules would be printed
            above = (
                RelationalMemory(self.output_size, checkpoint_every=checkpoint_every, **arguments)
                for _ in range(num_layers - 1)
            )
            self.layers_above = cast("Iterable[RelationalMemory]", nn.ModuleList(above))

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; all layers share those that may change after construction."""
        super().__setattr__(name, value)
        if name in ("backend", "checkpoint_every", "forget_bias", "input_bias"):
            for layer in getattr(self, "layers_above", ()):
                setattr(layer, name, value)

    @property
    def state_shape(self) -> tuple[int, ...]:
        """The shape of the memory of one sequence: ``[N, M]``; several layers: ``[L, N, M]``."""
        one = super().state_shape
        return one if self.num_layers == 1 else (self.num_layers, *one)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """As of `RelationalMemoryCell`, ``[B, N, M]``; several layers: ``[B, L, N, M]``."""
        memory = super().initial_state(batch_size, device=device, dtype=dtype)
        if self.num_layers == 1:
            return memory
        return memory.unsqueeze(1).repeat(1, self.num_layers, 1, 1)

    @overload
    def forward(
        self,
        inputs: Tensor,
        memory: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]: ...

    @overload
    def forward(
        self, inputs: PackedSequence, memory: Tensor | None = None
    ) -> tuple[PackedSequence, Tensor]: ...

    def forward(
        self,
        inputs: Tensor | PackedSequence,
        memory: Tensor | None = None,
        *,
        lengths: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """All steps of a batch of sequences.

        Args:
            inputs: ``[T, B, I]``, ``[B, T, I]`` with ``batch_first``, ``[T, I]`` without a batch;
                with ``input_rows`` one more dimension, n, before I. Or a `PackedSequence` of
                ``[I]`` (or ``[n, I]``), which has its own lengths.
            memory: ``[B, N, M]`` (``[N, M]`` without a batch; several layers: L before N), not
                modified; default: `initial_state`.
            lengths: ``[B]`` integers from 0 to T, steps of each sequence; what stands in the
                inputs after its end changes nothing. Default: all have T.
            reset: ``[T, B]`` bool (``[B, T]`` with ``batch_first``): whether a sequence has its
                initial memory, rows of the identity, before it reads this step, as where an
                episode or a document begins. No gradient flows back over a reset. Default: nowhere.

        Returns:
            The output ``[T, B, N * M]`` (in the layout of the inputs): the flattened memory after
            each step, zeros after the end of a sequence. And the memory after the last step of each
            sequence, in the shape of the memory. Gradients flow through both: detach the memory
            between windows of truncated back-propagation. For a `PackedSequence` the output is one
            too.

        Raises:
            TypeError: if an argument is not a tensor.
            ValueError: if a shape, a dtype or a length does not match.
        """
        if isinstance(inputs, PackedSequence):
            return self._forward_packed(inputs, memory, lengths=lengths, reset=reset)
        time_dim, batch_dim = (1, 0) if self.batch_first else (0, 1)
        inputs, memory, batched = self._to_sequence(
            inputs, memory, time_dim=time_dim, batch_dim=batch_dim
        )
        if not (batched or (lengths is None and reset is None)):
            raise ValueError("lengths and reset need inputs with a batch")
        interruptions = self._interruptions(inputs, lengths, reset)
        states = (memory,) if self.num_layers == 1 else memory.unbind(1)
        memories, memory = relational_memory(
            inputs,
            states[0],
            self.core_parameters(),
            self.options,
            backend=self.backend,
            checkpoint_every=self.checkpoint_every,
            interruptions=interruptions,
        )
        output = memories.flatten(2)  # [T, B, N * M]
        if self.num_layers > 1:
            lengths, reset = (None, None) if interruptions is None else interruptions[:2]
            last = [memory]
            for layer, state in zip(self.layers_above, states[1:], strict=True):
                inputs = F.dropout(output, self.dropout, self.training)
                output, memory = layer(inputs, state, lengths=lengths, reset=reset)
                last.append(memory)
            memory = torch.stack(last, dim=1)
        if not batched:
            return output.squeeze(1), memory.squeeze(0)
        return output.movedim(1, batch_dim), memory

    def _forward_packed(
        self,
        inputs: PackedSequence,
        memory: Tensor | None,
        *,
        lengths: Tensor | None,
        reset: Tensor | None,
    ) -> tuple[PackedSequence, Tensor]:
        if lengths is not None or reset is not None:
            raise ValueError(
                "a PackedSequence has lengths of its own and no place for lengths or reset: give "
                "padded inputs instead"
            )
        padded, ends = pad_packed_sequence(inputs, batch_first=self.batch_first)
        output, memory = self.forward(padded, memory, lengths=ends)
        order = inputs.sorted_indices
        if order is not None:  # by falling length, as in the packed inputs
            output, ends = (
                output.index_select(0 if self.batch_first else 1, order),
                ends[order.cpu()],
            )
        packed = pack_padded_sequence(output, ends, batch_first=self.batch_first)
        return inputs._replace(data=packed.data), memory

    def _interruptions(
        self, inputs: Tensor, lengths: Tensor | None, reset: Tensor | None
    ) -> Interruptions | None:
        """Check lengths and reset; None if neither is given. The inputs are ``[T, B, n, I]``."""
        if lengths is None and reset is None:
            return None
        steps, batch = inputs.shape[:2]
        if lengths is None:
            lengths = torch.full((batch,), steps)
        check_tensor("lengths", lengths)
        kind = lengths.dtype
        if kind == torch.bool or kind.is_floating_point or kind.is_complex:
            raise ValueError(f"lengths must be integers, got {kind}")
        if lengths.shape != (batch,):
            raise ValueError(f"lengths must have shape {[batch]}, got {list(lengths.shape)}")
        lengths = lengths.long()
        traced = torch.compiler.is_compiling() or lengths.is_meta
        if not traced and bool(((lengths < 0) | (lengths > steps)).any()):
            raise ValueError(f"lengths must be from 0 to {steps}, got {lengths.tolist()}")
        if reset is None:
            reset = torch.zeros(steps, batch, dtype=torch.bool)
        else:
            check_reset(reset, (batch, steps) if self.batch_first else (steps, batch))
            reset = reset.T if self.batch_first else reset
        device = inputs.device
        initial = super().initial_state(1, device=device).squeeze(0)
        return Interruptions(lengths.to(device), reset.to(device), initial)

    @torch.no_grad()
    def trace(
        self, inputs: Tensor, memory: Tensor | None = None, *, reset: Tensor | None = None
    ) -> "Trace":
        """Run without gradients and keep attention and gates, for inspection.

        Hooks of the module do not run: weights that a hook sets before each call (as
        `torch.nn.utils.prune` does) keep their values of the last call.

        Args:
            inputs: ``[T, B, I]``; with ``input_rows`` ``[T, B, n, I]``; ``batch_first`` is ignored.
            memory: ``[B, N, M]``; default: `initial_state`.
            reset: ``[T, B]`` bool, as of `forward`.

        Raises:
            TypeError: if an argument is not a tensor.
            ValueError: if a shape or a dtype does not match, or there are several layers.
        """
        self._refuse_layers("trace")
        check_tensor("inputs", inputs)
        if inputs.dim() != 3 + (self.input_rows is not None) or len(inputs) == 0:
            raise ValueError(f"inputs must have shape [T, B, ...], got {list(inputs.shape)}")
        self._check(inputs, memory, inputs.shape[1])
        if reset is not None:
            check_reset(reset, (inputs.shape[0], inputs.shape[1]))
        inputs = inputs if self.input_rows is not None else inputs.unsqueeze(2)
        initial = self.initial_state(inputs.shape[1])
        memory = initial if memory is None else memory
        steps = []
        for number, row in enumerate(inputs.unbind(0)):
            if reset is not None:
                memory = torch.where(reset[number, :, None, None], initial, memory)
            steps.append(step(row, memory, self.core_parameters(), self.options))
            memory = steps[-1].memory
        output = torch.stack([one.memory for one in steps]).flatten(2)
        attention = torch.stack([one.attention for one in steps])
        if self.gate_style is None:
            return Trace(output, attention, None, None)
        input_gate = torch.stack([one.input_gate for one in steps if one.input_gate is not None])
        forget_gate = torch.stack([one.forget_gate for one in steps if one.forget_gate is not None])
        return Trace(output, attention, input_gate, forget_gate)


def _is_converted(x: Tensor) -> bool:
    """Whether autocast converts a tensor to its own dtype."""
    return x.is_floating_point() and not x.is_meta and torch.is_autocast_enabled(x.device.type)


class Trace(NamedTuple):
    """What `RelationalMemory.trace` returns."""

    output: Tensor  # [T, B, N * M]
    attention: Tensor  # [T, blocks, B, H, N + n, N + n], queries then keys, memory before input
    input_gate: Tensor | None  # [T, B, N, G], after the sigmoid; G is M or 1
    forget_gate: Tensor | None  # [T, B, N, G]
