"""Stacks of recurrent layers with one interface for all cores: rmc, lstm or lstm-loop.

Letters: T time, B batch, I input size, O output size.
"""

import torch
from torch import Tensor, nn

from ..config import CoreConfig
from ..nn.dropout import VariationalDropout, WeightDrop
from ..nn.loop_lstm import LoopLSTM
from ..nn.relational_memory import RelationalMemory

State = tuple[Tensor, ...]
"""The state of a stack; every tensor is ``[B, ...]``, whatever the core."""


class Stack(nn.Module):
    """Recurrent layers, each of which reads the output of the previous one.

    Args:
        config: type of core, its sizes, and how layers are connected.
        input_size: width I of the input.

    Attributes:
        output_size: width O of the output.
    """

    def __init__(self, config: CoreConfig, input_size: int) -> None:
        super().__init__()
        self.kind = config.model
        self.residual = config.residual
        self.skip = config.skip
        self.dropout = VariationalDropout(config.layer_dropout)
        layers: list[nn.Module] = []
        spreads: list[nn.Module] = []
        size = input_size
        for number in range(config.num_layers):
            width = size + input_size if config.skip and number else size
            core, size = _layer(config, width, hidden_size=config.hidden_size or input_size)
            layers.append(core)
            spreads.append(_spread(width, config.input_rows if config.model == "rmc" else 1))
        self.spreads = nn.ModuleList(spreads)
        self.layers = nn.ModuleList(layers)
        self.layer_size = size
        self.output_size = size * config.num_layers if config.skip else size

    def initial_state(self, batch_size: int) -> State:
        """The initial state: per layer one memory (rmc), or h and c (lstm)."""
        state: list[Tensor] = []
        for layer in self.layers:
            core = layer.module if isinstance(layer, WeightDrop) else layer
            if isinstance(core, RelationalMemory):
                state.append(core.initial_state(batch_size))
            else:
                like = next(core.parameters())
                state += [like.new_zeros(batch_size, self.layer_size) for _ in "hc"]
        return tuple(state)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the layers over a window.

        Args:
            inputs: ``[T, B, I]``.
            state: from :meth:`initial_state` or the previous window.

        Returns:
            The output ``[T, B, O]`` and the final state, neither of them detached.
        """
        outputs: list[Tensor] = []
        next_state: list[Tensor] = []
        each = len(state) // len(self.layers)
        hidden = inputs
        for number, layer in enumerate(self.layers):
            below = self.dropout(hidden) if number else hidden
            fed = torch.cat((below, inputs), dim=-1) if self.skip and number else below
            part = state[number * each : (number + 1) * each]
            output, part = self._run(layer, self.spreads[number](fed), part)
            hidden = output + below if self.residual and number else output
            outputs.append(hidden)
            next_state += part
        return torch.cat(outputs, dim=-1) if self.skip else hidden, tuple(next_state)

    def _run(self, layer: nn.Module, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        if self.kind == "rmc":
            output, memory = layer(inputs, state[0])
            return output, (memory,)
        hidden, cell = state  # nn.LSTM expects [layers, B, H]
        output, (hidden, cell) = layer(inputs, (hidden.unsqueeze(0), cell.unsqueeze(0)))
        return output, (hidden.squeeze(0), cell.squeeze(0))


def _layer(config: CoreConfig, input_size: int, *, hidden_size: int) -> tuple[nn.Module, int]:
    """One layer and its output width."""
    core: RelationalMemory | nn.LSTM | LoopLSTM
    if config.model == "rmc":
        core = RelationalMemory(
            input_size,
            mem_slots=config.mem_slots,
            head_size=config.head_size,
            num_heads=config.num_heads,
            key_size=config.key_size,
            num_blocks=config.num_blocks,
            attention_mlp_layers=config.attention_mlp_layers,
            gate_style=config.gate_style,
            input_rows=config.input_rows if config.input_rows > 1 else None,
            forget_bias=config.forget_bias,
            input_bias=config.input_bias,
            backend=config.backend,
        )
        recurrent = core.recurrent_weights
        output_size = core.output_size
    else:
        core = (nn.LSTM if config.model == "lstm" else LoopLSTM)(input_size, hidden_size)
        with torch.no_grad():
            input_gate, forget_gate, _, _ = core.get_parameter("bias_ih_l0").chunk(4)
            input_gate += config.input_bias
            forget_gate += config.forget_bias
        recurrent = ["weight_hh_l0"]
        output_size = hidden_size
    if config.weight_drop:
        return WeightDrop(core, recurrent, config.weight_drop), output_size
    return core, output_size


def _spread(width: int, rows: int) -> nn.Module:
    """Map an input ``[..., I]`` to several input rows ``[..., n, I]``; the identity for one row."""
    if rows == 1:
        return nn.Identity()
    return nn.Sequential(nn.Linear(width, rows * width), nn.Unflatten(-1, (rows, width)))
