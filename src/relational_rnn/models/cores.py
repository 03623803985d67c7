"""Stacks of layers with one interface for all cores; :data:`CORES` says what each is made of.

Letters: T time, B batch, I input size, O output size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ..config import CoreConfig
from ..nn.arguments import check_reset
from ..nn.dropout import VariationalDropout, WeightDrop
from ..nn.loop_lstm import LoopLSTM
from ..nn.min_gru import MinGRU
from ..nn.relational_memory import RelationalMemory
from ..nn.transformer import TransformerLayer
from ..ops.relational_memory.segments import segments

State = tuple[Tensor, ...]
"""The state of a stack; every tensor is ``[B, ...]``, whatever the core."""


@dataclass(frozen=True, kw_only=True)
class Core:
    """One kind of layer.

    Attributes:
        build: makes a layer of a configuration, for an input of width I.
        output_size: the width of a layer's output.
        initial_state: the state of a layer before the first step, for a batch size.
        run: calls a layer, or its :class:`WeightDrop`, with inputs ``[T, B, I]``, a state, and
            where it is reset, ``[T, B]`` bool or None.
        recurrent: names of a layer's recurrent weights, for :class:`WeightDrop`.
    """

    build: Callable[[CoreConfig, int], nn.Module]
    output_size: Callable[[Any], int]
    initial_state: Callable[[Any, int], State]
    run: Callable[[nn.Module, Tensor, State, Tensor | None], tuple[Tensor, State]]
    recurrent: Callable[[Any], list[str]]


class Stack(nn.Module):
    """Layers of one core, each of which reads the output of the previous one.

    Args:
        config: type of core, its sizes, and how layers are connected.
        input_size: width I of the input.

    Attributes:
        output_size: width O of the output.
    """

    def __init__(self, config: CoreConfig, input_size: int) -> None:
        super().__init__()
        self.model = config.model
        self.residual = config.residual
        self.skip = config.skip
        self.dropout = VariationalDropout(config.layer_dropout)
        layers: list[nn.Module] = []
        spreads: list[nn.Module] = []
        size = input_size
        for number in range(config.num_layers):
            width = size + input_size if config.skip and number else size
            layer = self.kind.build(config, width)
            size = self.kind.output_size(layer)
            names = self.kind.recurrent(layer)
            dropped = config.weight_drop > 0 and bool(names)
            layers.append(WeightDrop(layer, names, config.weight_drop) if dropped else layer)
            spreads.append(_spread(width, config.input_rows if config.model == "rmc" else 1))
        self.spreads = nn.ModuleList(spreads)
        self.layers = nn.ModuleList(layers)
        self.output_size = size * config.num_layers if config.skip else size
        self.transformer = config.model == "transformer"
        self.norm = nn.LayerNorm(self.output_size) if self.transformer else nn.Identity()

    @property
    def kind(self) -> Core:
        """What its type of core does; looked up, because functions cannot be pickled with it."""
        return CORES[self.model]

    def initial_state(self, batch_size: int) -> State:
        """The initial state of all layers: memory (rmc), h and c (lstm), h (GRUs), or no keys."""
        state: list[Tensor] = []
        for layer in self.layers:
            core = layer.module if isinstance(layer, WeightDrop) else layer
            state += self.kind.initial_state(core, batch_size)
        return tuple(state)

    def forward(
        self, inputs: Tensor, state: State, reset: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Run the layers over a window.

        Args:
            inputs: ``[T, B, I]``.
            state: from :meth:`initial_state` or the previous window.
            reset: ``[T, B]`` bool: whether a sequence has its initial state before it reads a step.
                No gradient flows back over a reset. Default: nowhere.

        Returns:
            The output ``[T, B, O]`` and the final state, neither of them detached.

        Raises:
            TypeError: ``reset`` is not a tensor.
            ValueError: ``reset`` has another shape or dtype, or the core is a transformer.
        """
        if reset is not None and self.transformer:
            raise ValueError(
                "reset is not supported by a transformer: give it each piece by itself"
            )
        if reset is not None:
            check_reset(reset, (inputs.shape[0], inputs.shape[1]))
        if reset is not None and len(reset) == 1:  # without pieces, so that a step can be exported
            state = self.reset_state(state, reset[0])
            reset = None
        outputs: list[Tensor] = []
        next_state: list[Tensor] = []
        each = len(state) // len(self.layers)
        hidden = inputs
        for number, layer in enumerate(self.layers):
            below = self.dropout(hidden) if number else hidden
            fed = torch.cat((below, inputs), dim=-1) if self.skip and number else below
            part = state[number * each : (number + 1) * each]
            output, part = self.kind.run(layer, self.spreads[number](fed), part, reset)
            hidden = output + below if self.residual and number else output
            outputs.append(hidden)
            next_state += part
        output = torch.cat(outputs, dim=-1) if self.skip else hidden
        return self.norm(output), tuple(next_state)

    def reset_state(self, state: State, reset: Tensor) -> State:
        """The state, or the initial one for the sequences where ``reset``, ``[B]`` bool, is set."""
        return tuple(
            torch.where(reset.view(-1, *[1] * (old.dim() - 1)), new, old)
            for old, new in zip(state, self.initial_state(1), strict=True)
        )


def _build_rmc(config: CoreConfig, input_size: int) -> nn.Module:
    return RelationalMemory(
        input_size,
        mem_slots=config.mem_slots,
        head_size=config.head_size,
        num_heads=config.num_heads,
        key_size=config.key_size,
        num_blocks=config.num_blocks,
        attention_mlp_layers=config.attention_mlp_layers,
        gate_style=config.gate_style,
        gate_inputs=config.gate_inputs,
        input_rows=config.input_rows if config.input_rows > 1 else None,
        forget_bias=config.forget_bias,
        input_bias=config.input_bias,
        backend=config.backend,
    )


def _run_rmc(
    layer: nn.Module, inputs: Tensor, state: State, reset: Tensor | None
) -> tuple[Tensor, State]:
    output, memory = layer(inputs, state[0], reset=reset)
    return output, (memory,)


def _build_lstm(config: CoreConfig, input_size: int) -> nn.Module:
    kind = nn.LSTM if config.model == "lstm" else LoopLSTM
    layer = kind(input_size, config.hidden_size or input_size)
    with torch.no_grad():
        input_gate, forget_gate, _, _ = layer.get_parameter("bias_ih_l0").chunk(4)
        input_gate += config.input_bias
        forget_gate += config.forget_bias
    return layer


def _run_lstm(
    layer: nn.Module, inputs: Tensor, state: State, reset: Tensor | None
) -> tuple[Tensor, State]:
    if reset is not None:
        return _run_packed(layer, inputs, state, reset)
    hidden, cell = state  # nn.LSTM expects [layers, B, H]
    output, (hidden, cell) = layer(inputs, (hidden.unsqueeze(0), cell.unsqueeze(0)))
    return output, (hidden.squeeze(0), cell.squeeze(0))


def _run_loop(
    layer: nn.Module, inputs: Tensor, state: State, reset: Tensor | None
) -> tuple[Tensor, State]:
    hidden, cell = state
    output, (hidden, cell) = layer(inputs, (hidden[None], cell[None]), reset=reset)
    return output, (hidden.squeeze(0), cell.squeeze(0))


def _build_gru(config: CoreConfig, input_size: int) -> nn.Module:
    layer = nn.GRU(input_size, config.hidden_size or input_size)
    with torch.no_grad():
        _, update_gate, _ = layer.get_parameter("bias_ih_l0").chunk(3)
        update_gate += config.forget_bias  # open, it keeps the state
    return layer


def _run_gru(
    layer: nn.Module, inputs: Tensor, state: State, reset: Tensor | None
) -> tuple[Tensor, State]:
    if reset is not None:
        return _run_packed(layer, inputs, state, reset)
    output, hidden = layer(inputs, state[0].unsqueeze(0))  # nn.GRU expects [layers, B, H]
    return output, (hidden.squeeze(0),)


def _build_min_gru(config: CoreConfig, input_size: int) -> nn.Module:
    layer = MinGRU(input_size, config.hidden_size or input_size)
    with torch.no_grad():
        layer.linear.bias[: layer.hidden_size] += config.forget_bias
    return layer


def _run_min_gru(
    layer: nn.Module, inputs: Tensor, state: State, reset: Tensor | None
) -> tuple[Tensor, State]:
    output, hidden = layer(inputs, state[0][None], reset=reset)
    return output, (hidden.squeeze(0),)


def _run_packed(
    layer: nn.Module, inputs: Tensor, state: State, reset: Tensor
) -> tuple[Tensor, State]:
    """Run `nn.LSTM` or `nn.GRU` with resets: the pieces between them as a `PackedSequence`."""
    steps, batch = reset.shape
    found = segments(torch.full((batch,), steps, device=reset.device), reset)
    order = found.length.argsort(descending=True)
    sequence, first, length, goes_on = (x[order] for x in found)  # [S] each
    step = torch.arange(int(length.max()), device=reset.device)[:, None]
    inside = step < length  # [L, S]
    place = ((first + step) * batch + sequence)[inside]  # of each row in the flattened inputs
    packed = PackedSequence(inputs.flatten(0, 1)[place], inside.sum(1).cpu())
    begin = tuple(part[sequence].where(goes_on[:, None], 0)[None] for part in state)  # [1, S, H]
    output, after = layer(packed, begin if len(begin) > 1 else begin[0])
    output = torch.empty_like(output.data).index_copy(0, place, output.data)
    ends = first + length == steps
    last = tuple(
        torch.empty_like(part).index_copy(0, sequence[ends], each[0, ends])
        for part, each in zip(state, after if len(begin) > 1 else (after,), strict=True)
    )
    return output.view(steps, batch, -1), last


def _build_transformer(config: CoreConfig, input_size: int) -> nn.Module:
    return TransformerLayer(
        input_size,
        config.hidden_size or input_size,
        num_heads=config.num_heads,
        feedforward_size=config.feedforward_size,
        window=config.attention_window,
    )


def _run_transformer(
    layer: nn.Module, inputs: Tensor, state: State, reset: Tensor | None
) -> tuple[Tensor, State]:
    output, (keys, values) = layer(inputs, state)
    return output, (keys, values)


def _zeros(count: int) -> Callable[[Any, int], State]:
    """The function that makes an initial state of ``count`` tensors of zeros ``[B, H]``."""

    def make(layer: Any, batch_size: int) -> State:
        like = next(layer.parameters())
        return tuple(like.new_zeros(batch_size, layer.hidden_size) for _ in range(count))

    return make


_LSTM = Core(
    build=_build_lstm,
    output_size=lambda layer: layer.hidden_size,
    initial_state=_zeros(2),
    run=_run_lstm,
    recurrent=lambda layer: ["weight_hh_l0"],
)

CORES = {
    "rmc": Core(
        build=_build_rmc,
        output_size=lambda layer: layer.output_size,
        initial_state=lambda layer, batch_size: (layer.initial_state(batch_size),),
        run=_run_rmc,
        recurrent=lambda layer: list(layer.recurrent_weights),
    ),
    "lstm": _LSTM,
    "lstm-loop": replace(_LSTM, run=_run_loop),
    "gru": Core(
        build=_build_gru,
        output_size=lambda layer: layer.hidden_size,
        initial_state=_zeros(1),
        run=_run_gru,
        recurrent=lambda layer: ["weight_hh_l0"],
    ),
    "mingru": Core(
        build=_build_min_gru,
        output_size=lambda layer: layer.hidden_size,
        initial_state=_zeros(1),
        run=_run_min_gru,
        recurrent=lambda layer: [],
    ),
    "transformer": Core(
        build=_build_transformer,
        output_size=lambda layer: layer.hidden_size,
        initial_state=lambda layer, batch_size: layer.initial_state(batch_size),
        run=_run_transformer,
        recurrent=lambda layer: [],
    ),
}
"""Every core by the name that ``model`` has in a configuration."""


def _spread(width: int, rows: int) -> nn.Module:
    """Map an input ``[..., I]`` to several input rows ``[..., n, I]``; the identity for one row."""
    if rows == 1:
        return nn.Identity()
    return nn.Sequential(nn.Linear(width, rows * width), nn.Unflatten(-1, (rows, width)))
