"""The fields of the recurrent core, the same for every task."""

from dataclasses import dataclass
from typing import Literal

from .fields import LAYERS, SLOTS, WIDTH, Config, option

Backend = Literal["auto", "reference", "fused", "native", "triton"]
"""``"auto"``, and the names in ``ops.relational_memory.BACKENDS``, which cannot be imported here
without PyTorch."""

CoreName = Literal["rmc", "lstm", "lstm-loop", "gru", "mingru", "transformer"]
"""The names in ``models.cores.CORES``, which cannot be imported here for the same reason."""

RECURRENT = ("rmc", "lstm", "lstm-loop", "gru", "mingru")
"""The cores whose state has one size, however many steps were read."""


@dataclass(kw_only=True)
class CoreConfig(Config):
    """The recurrent core."""

    model: CoreName = option("rmc", group="core", decides="model", prominent=True)
    """Core: the relational memory, torch's LSTM, the same LSTM as a Python loop, torch's GRU, a
    minGRU, or a causal transformer (for generated tasks)."""

    num_layers: int = option(1, at_least=1, limit=LAYERS, group="core", decides="model")
    """Number of layers; each reads the output of the one below."""

    residual: bool = option(False, group="core", unless=("num_layers", 1), decides="model")
    """Add each layer's input to its output, from the second layer on (He et al. 2016)."""

    skip: bool = option(False, group="core", unless=("num_layers", 1), decides="model")
    """Feed the input to every layer and output all layers' outputs (Santoro et al. 2018, A.2)."""

    layer_dropout: float = option(0.0, at_least=0, below=1, group="core", unless=("num_layers", 1))
    """Variational dropout between recurrent layers (Merity et al. 2018, 4.2)."""

    weight_drop: float = option(
        0.0, at_least=0, below=1, group="core", only=("model", "rmc", "lstm", "lstm-loop", "gru")
    )
    """DropConnect on the recurrent weights (Merity et al. 2018, 2)."""

    mem_slots: int = option(
        1, at_least=1, limit=SLOTS, group="core", only=("model", "rmc"), decides="model"
    )
    """Number of memory slots."""

    input_rows: int = option(
        1, at_least=1, limit=SLOTS, group="core", only=("model", "rmc"), decides="model"
    )
    """Number of rows the input is projected to; the slots attend to each row separately."""

    head_size: int = option(
        32, at_least=1, limit=WIDTH, group="core", only=("model", "rmc"), decides="model"
    )
    """Width of one attention head; the memory's width is head_size * num_heads."""

    num_heads: int = option(
        4,
        at_least=1,
        limit=1_024,
        group="core",
        only=("model", "rmc", "transformer"),
        decides="model",
    )
    """Number of attention heads."""

    key_size: int | None = option(
        None, at_least=1, limit=WIDTH, group="core", only=("model", "rmc"), decides="model"
    )
    """Width of the keys and queries of one head; null: head_size."""

    num_blocks: int = option(
        1, at_least=1, limit=LAYERS, group="core", only=("model", "rmc"), decides="model"
    )
    """Attention rounds in one step."""

    attention_mlp_layers: int = option(
        2, at_least=1, limit=LAYERS, group="core", only=("model", "rmc"), decides="model"
    )
    """Layers of the MLP that follows the attention."""

    gate_style: Literal["unit", "memory"] | None = option(
        "unit", group="core", only=("model", "rmc"), decides="model"
    )
    """One gate for each unit of the memory ("unit"), one for each slot ("memory"), or null."""

    gate_inputs: Literal["projected", "raw"] = option(
        "projected", group="core", only=("model", "rmc"), decides="model"
    )
    """What the gates read besides the memory: the projected input, as in Sonnet, or the raw one,
    which has fewer weights if the input is narrower than the memory."""

    forget_bias: float = option(1.0, group="core", only=("model", *RECURRENT))
    """Added to the forget gate; for an LSTM, to the initial bias of its forget gate, for a GRU or
    minGRU, to that of the gate that keeps the state."""

    input_bias: float = option(0.0, group="core", only=("model", "rmc", "lstm", "lstm-loop"))
    """Added to the input gate; for an LSTM, to the initial bias of its input gate."""

    backend: Backend = option("auto", group="core", only=("model", "rmc"))
    """Implementation of the core; auto: the fastest one that works here."""

    hidden_size: int | None = option(
        None,
        at_least=1,
        limit=WIDTH,
        group="core",
        only=("model", "lstm", "lstm-loop", "gru", "mingru", "transformer"),
        decides="model",
    )
    """Width of the hidden state; null: the width of the layer's input. For a transformer, a
    multiple of 2 * num_heads."""

    feedforward_size: int | None = option(
        None,
        at_least=1,
        limit=WIDTH,
        group="core",
        only=("model", "transformer"),
        decides="model",
    )
    """Width of the MLP of a transformer's layer; null: 4 * hidden_size."""

    attention_window: int | None = option(
        None,
        at_least=1,
        limit=10_000,
        group="core",
        only=("model", "transformer"),
        decides="model",
    )
    """Steps that a step of a transformer attends to, itself included; null: all so far."""
