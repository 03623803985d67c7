"""What is measured: the rows of the table, and the sizes they are measured at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..config import LanguageModelingConfig, load
from ..ops.precision import multiplies_bfloat16

CORES = {"rmc": "wikitext2-rmc", "lstm": "wikitext2-lstm"}
"""The core alone has its published size (RMC: one slot, four heads of 192, three MLP layers)."""

MODELS = {"rmc": "wikitext2-rmc-10m", "lstm": "wikitext2-lstm"}
"""The whole model: two configurations of equal numbers of weights, 10.7 million."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table."""

    name: str
    model: Literal["rmc", "lstm", "lstm-loop", "plain"]
    backend: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"


LSTM = Row(name="lstm", model="lstm")
LSTM_BFLOAT16 = Row(name="lstm bfloat16", model="lstm", dtype="bfloat16")
REFERENCE = Row(name="rmc reference", model="rmc", backend="reference")
FUSED = Row(name="rmc fused float32", model="rmc", backend="fused")
FUSED_BFLOAT16 = Row(name="rmc fused bfloat16", model="rmc", backend="fused", dtype="bfloat16")
PLAIN = Row(name="plain model", model="plain")

FASTEST_RMC, FASTEST_LSTM = (
    (FUSED_BFLOAT16, LSTM_BFLOAT16) if multiplies_bfloat16("cpu") else (FUSED, LSTM)
)
"""The rows for measurements that take one row of each kind."""

CPU_ROWS = (
    LSTM,
    Row(name="lstm-loop", model="lstm-loop"),
    LSTM_BFLOAT16,
    REFERENCE,
    FUSED,
    FUSED_BFLOAT16,
    PLAIN,
)
CUDA_ROWS = (
    Row(name="cuda lstm", model="lstm", device="cuda"),
    Row(name="cuda lstm bfloat16", model="lstm", dtype="bfloat16", device="cuda"),
    Row(name="cuda rmc reference", model="rmc", backend="reference", device="cuda"),
    Row(name="cuda rmc float32", model="rmc", device="cuda"),
    Row(name="cuda rmc bfloat16", model="rmc", dtype="bfloat16", device="cuda"),
    Row(name="cuda plain model", model="plain", device="cuda"),
)
ROWS = {row.name: row for row in CPU_ROWS + CUDA_ROWS}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row at certain sizes; plain values, so that another process can be told of it.

    Attributes:
        row: its name.
        shipped: the configuration that it is about, in place of the table's.
        vocabulary_size: words, WikiText-2's number by default.
        overrides: fields of the configurations to replace, such as ``{"mem_slots": 4}``.
    """

    row: str
    shipped: str | None = None
    vocabulary_size: int = 33_278
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def config(self, shipped: Mapping[str, str]) -> LanguageModelingConfig:
        """The shipped configuration (of `CORES` or `MODELS`) with row and overrides applied."""
        row = ROWS[self.row]
        name = self.shipped or shipped["rmc" if row.model == "rmc" else "lstm"]
        model = "lstm" if row.model == "plain" else row.model
        config = load(name, {"model": model, "backend": row.backend, **self.overrides})
        assert isinstance(config, LanguageModelingConfig)
        return config
