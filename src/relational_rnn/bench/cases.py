"""What is measured: model variants, and cases of them at given sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..config import LanguageModelingConfig, load
from ..ops.precision import multiplies_bfloat16

CORES = {"rmc": "wikitext2-rmc", "lstm": "wikitext2-lstm"}
"""Configurations of the core alone, at its published size (RMC: one slot, four heads of 192, three
MLP layers)."""

MODELS = {"rmc": "wikitext2-rmc-10m", "lstm": "wikitext2-lstm"}
"""Configurations of the whole model, with the same number of parameters (10.7 million)."""

PAPER = "wikitext103-rmc-paper"
"""The configuration of the large measurements."""

WIKITEXT2, WIKITEXT103 = 33_278, 267_735
"""Vocabulary sizes."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model with a backend, dtype and device."""

    name: str
    model: Literal["rmc", "lstm", "lstm-loop", "baseline"]
    backend: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"
    device: Literal["cpu", "cuda"] = "cpu"


LSTM = Variant(name="lstm", model="lstm")
LSTM_BFLOAT16 = Variant(name="lstm bfloat16", model="lstm", dtype="bfloat16")
REFERENCE = Variant(name="rmc reference", model="rmc", backend="reference")
FUSED = Variant(name="rmc fused float32", model="rmc", backend="fused")
NATIVE = Variant(name="rmc native float32", model="rmc", backend="native")
FUSED_BFLOAT16 = Variant(name="rmc fused bfloat16", model="rmc", backend="fused", dtype="bfloat16")
NATIVE_BFLOAT16 = Variant(
    name="rmc native bfloat16", model="rmc", backend="native", dtype="bfloat16"
)
BASELINE = Variant(name="plain model", model="baseline")

FASTEST_RMC, FASTEST_LSTM = (
    (FUSED_BFLOAT16, LSTM_BFLOAT16) if multiplies_bfloat16("cpu") else (FUSED, LSTM)
)
"""The variants for measurements of one RMC and one LSTM."""

CPU_VARIANTS = (
    LSTM,
    Variant(name="lstm-loop", model="lstm-loop"),
    LSTM_BFLOAT16,
    REFERENCE,
    FUSED,
    NATIVE,
    FUSED_BFLOAT16,
    NATIVE_BFLOAT16,
    BASELINE,
)
CUDA_VARIANTS = (
    Variant(name="cuda lstm", model="lstm", device="cuda"),
    Variant(name="cuda lstm bfloat16", model="lstm", dtype="bfloat16", device="cuda"),
    Variant(name="cuda rmc reference", model="rmc", backend="reference", device="cuda"),
    Variant(name="cuda rmc float32", model="rmc", device="cuda"),
    Variant(name="cuda rmc bfloat16", model="rmc", dtype="bfloat16", device="cuda"),
    Variant(name="cuda plain model", model="baseline", device="cuda"),
)
VARIANTS = {variant.name: variant for variant in CPU_VARIANTS + CUDA_VARIANTS}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A variant at given sizes; plain values only, so that it can be sent to another process.

    Attributes:
        name: the variant's.
        config_name: shipped configuration to use instead of `CORES` and `MODELS`.
        vocabulary_size: number of words.
        overrides: fields of the configuration to replace, such as ``{"mem_slots": 4}``.
    """

    name: str
    config_name: str | None = None
    vocabulary_size: int = WIKITEXT2
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def variant(self) -> Variant:
        """The variant of this name."""
        return VARIANTS[self.name]

    def config(self, names: Mapping[str, str]) -> LanguageModelingConfig:
        """The configuration named in `CORES` or `MODELS`, with variant and overrides applied."""
        variant = self.variant
        name = self.config_name or names["rmc" if variant.model == "rmc" else "lstm"]
        model = "lstm" if variant.model == "baseline" else variant.model
        config = load(name, {"model": model, "backend": variant.backend, **self.overrides})
        assert isinstance(config, LanguageModelingConfig)
        return config
