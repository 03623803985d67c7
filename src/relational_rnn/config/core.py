"""What the recurrent core is made of; the same fields for every task."""

from dataclasses import dataclass
from typing import Literal

from .fields import check_at_least, check_probability


@dataclass(kw_only=True)
class CoreConfig:
    """The recurrent core."""

    model: Literal["rmc", "lstm", "lstm-loop"] = "rmc"
    """Recurrent core: the relational memory, torch's LSTM, or the same LSTM as a Python loop."""

    num_layers: int = 1
    """Number of recurrent layers, each fed with the output of the one before."""

    residual: bool = False
    """Add each layer's input to its output, from the second layer on (He et al. 2016)."""

    skip: bool = False
    """Feed the input to every layer and give out all layers' outputs (Santoro et al. 2018, A.2)."""

    layer_dropout: float = 0.0
    """Variational dropout between recurrent layers (Merity et al. 2018, 4.2)."""

    weight_drop: float = 0.0
    """DropConnect on the weights that act on the memory (Merity et al. 2018, 2)."""

    mem_slots: int = 1
    """rmc: number of memory slots."""

    input_rows: int = 1
    """rmc: rows that the input is spread over, for the slots to attend to each on its own."""

    head_size: int = 32
    """rmc: width of one attention head; the memory's width is head_size * num_heads."""

    num_heads: int = 4
    """rmc: number of attention heads."""

    key_size: int | None = None
    """rmc: width of the keys and queries of one head; null: head_size."""

    num_blocks: int = 1
    """rmc: attention rounds in one step."""

    attention_mlp_layers: int = 2
    """rmc: layers of the MLP that follows the attention."""

    gate_style: Literal["unit", "memory"] | None = "unit"
    """rmc: a gate for each unit of the memory, one for each slot ("memory"), or null."""

    forget_bias: float = 1.0
    """Added to the forget gate; for the lstm, to the initial bias of its forget gate."""

    input_bias: float = 0.0
    """Added to the input gate; for the lstm, to the initial bias of its input gate."""

    backend: str = "auto"
    """rmc: the implementation that computes it; auto takes the fastest that can."""

    hidden_size: int | None = None
    """lstm: width of the hidden state; null: the width of its input."""

    def __post_init__(self) -> None:
        check_at_least(
            self,
            1,
            "num_layers",
            "mem_slots",
            "input_rows",
            "head_size",
            "num_heads",
            "key_size",
            "num_blocks",
            "attention_mlp_layers",
            "hidden_size",
        )
        check_probability(self, "layer_dropout", "weight_drop")

    def without_effect(self) -> dict[str, str]:
        """Fields that change nothing in this configuration, each with the reason."""
        only_rmc = (
            "mem_slots",
            "input_rows",
            "head_size",
            "num_heads",
            "key_size",
            "num_blocks",
            "attention_mlp_layers",
            "gate_style",
            "backend",
        )
        unused = ("hidden_size",) if self.model == "rmc" else only_rmc
        reasons = dict.fromkeys(unused, f"model is {self.model}")
        if self.num_layers == 1:
            reasons |= dict.fromkeys(("residual", "skip", "layer_dropout"), "num_layers is 1")
        return reasons
