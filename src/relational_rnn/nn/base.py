"""What the cell and the sequence share: arguments, parameters, initial memory, conversion."""

from collections.abc import Mapping
from math import isnan
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..ops.relational_memory import (
    GateStyle,
    Options,
    Parameters,
    check_backend,
    relational_memory,
)
from .sonnet import from_variables, to_variables

TRUNCATED_NORMAL_BOUND = 2.0  # standard deviations, as TensorFlow's truncated normal


def check_count(name: str, value: object) -> None:
    """Raise a ValueError that names the argument if it is no whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} is {value!r}; it takes a whole number of at least 1")


def check_tensor(name: str, value: object) -> None:
    """Raise a TypeError that names the argument if it is no tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; it takes a tensor")


class RelationalMemoryBase(nn.Module):
    """A Relational Memory Core without a way to call it; see `RelationalMemoryCell`."""

    projection_weight: nn.Parameter
    batch_first: bool = False
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
            check_count(name, value)
        for name, bias in (("forget_bias", forget_bias), ("input_bias", input_bias)):
            if isinstance(bias, bool) or not isinstance(bias, Real) or isnan(bias):
                raise ValueError(f"{name} is {bias!r}; it takes a number")
        if gate_style not in ("unit", "memory", None):
            raise ValueError(f"gate_style is {gate_style!r}; it takes 'unit', 'memory' or None")
        check_backend(backend)
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
    def recurrent_weights(self) -> list[str]:
        """Names of the weights that act on the memory, for DropConnect."""
        names = ("qkv_weight", "mlp_weight", "gate_memory_weight")
        return [name for name in names if getattr(self, name) is not None]

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
        identity = torch.zeros(
            self.mem_slots,
            self.mem_size,
            device=like.device if device is None else device,
            dtype=like.dtype if dtype is None else dtype,
        ).fill_diagonal_(1)
        return identity.repeat(batch_size, 1, 1)

    def _check(self, inputs: Tensor, memory: Tensor | None, batch_size: int | None) -> None:
        rows = () if self.input_rows is None else (self.input_rows,)
        expected = (*rows, self.input_size)
        if inputs.shape[-len(expected) :] != expected:
            raise ValueError(
                f"inputs have shape {list(inputs.shape)}; the last sizes must be {list(expected)}"
            )
        dtype = self.projection_weight.dtype
        autocast = not inputs.is_meta and torch.is_autocast_enabled(inputs.device.type)
        # autocast brings no float64 to another dtype, nor another to float64
        double = torch.float64 in (inputs.dtype, dtype)
        free = autocast and inputs.is_floating_point() and not double
        if inputs.dtype != dtype and not free:
            raise ValueError(f"inputs are {inputs.dtype}; the parameters are {dtype}")
        if memory is None:
            return
        check_tensor("memory", memory)
        batch = () if batch_size is None else (batch_size,)
        state = (*batch, self.mem_slots, self.mem_size)
        if memory.shape != state:
            raise ValueError(f"memory has shape {list(memory.shape)}; it must be {list(state)}")
        if memory.dtype != dtype and not (autocast and memory.is_floating_point()):
            raise ValueError(f"memory is {memory.dtype}; the parameters are {dtype}")

    def _run(
        self, inputs: Tensor, memory: Tensor | None, *, time_dim: int | None, batch_dim: int
    ) -> tuple[Tensor, Tensor]:
        """Bring any accepted layout to ``[T, B, n, I]``, run, and bring the answer back.

        Args:
            inputs: in any layout.
            memory: of each sequence, or None.
            time_dim: of batched inputs; None: they are a single step.
            batch_dim: of batched inputs.
        """
        check_tensor("inputs", inputs)
        row_dims = 1 if self.input_rows is None else 2
        alone = row_dims + (time_dim is not None)  # dimensions without a batch
        given = list(inputs.shape)
        if inputs.dim() not in (alone, alone + 1):
            raise ValueError(f"inputs have shape {given}; too many or too few dimensions")
        batched = inputs.dim() > alone
        self._check(inputs, memory, given[batch_dim] if batched else None)
        if time_dim is None:
            inputs = inputs.unsqueeze(0)
            batch_dim = 1
        if not batched:
            inputs = inputs.unsqueeze(1)
            batch_dim = 1
        inputs = inputs.movedim(batch_dim, 1)  # [T, B, ...]
        if len(inputs) == 0:
            raise ValueError(f"inputs have shape {given}; T must be at least 1")
        if memory is None:
            memory = self.initial_state(inputs.shape[1])
        elif not batched:
            memory = memory.unsqueeze(0)
        memory = memory.to(self.projection_weight.dtype)  # under autocast it may be another
        if self.input_rows is None:
            inputs = inputs.unsqueeze(2)
        memories, memory = relational_memory(
            inputs,
            memory,
            self.core_parameters(),
            self.options,
            backend=self.backend,
            checkpoint_every=self.checkpoint_every,
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
                module, unless ``dtype`` is given.
            **arguments: those of the constructor.

        Raises:
            ValueError: for a missing, unknown or misshapen variable, naming it.
        """
        module = cls(**arguments)
        state = from_variables(
            variables,
            {name: tuple(value.shape) for name, value in module.state_dict().items()},
        )
        if arguments.get("dtype") is None:
            module.to(next(iter(state.values())).dtype)
        module.load_state_dict(state)
        return module

    def to_sonnet(self) -> dict[str, np.ndarray]:
        """The weights under Sonnet's variable names, ready for `from_sonnet`."""
        named = zip(Parameters._fields, self.core_parameters(), strict=True)
        return to_variables({name: value for name, value in named if value is not None})

    def extra_repr(self) -> str:
        """The sizes, and the other arguments that differ from the defaults."""
        sizes = ("mem_slots", "head_size", "num_heads")
        others = {
            "key_size": self.head_size,
            "num_blocks": 1,
            "attention_mlp_layers": 2,
            "gate_style": "unit",
            "forget_bias": 1.0,
            "input_bias": 0.0,
            "input_rows": None,
            "backend": "auto",
            "batch_first": False,
            "checkpoint_every": None,
        }
        shown = [name for name, usual in others.items() if getattr(self, name) != usual]
        values = (f"{name}={getattr(self, name)!r}" for name in (*sizes, *shown))
        return ", ".join([str(self.input_size), *values])
