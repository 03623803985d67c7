"""The relational memory as a function of tensors; README.md in this folder has the mathematics."""

from .dispatch import BACKENDS, check_backend, choose, relational_memory
from .parameters import GateInputs, GateStyle, Interruptions, Options, Parameters

__all__ = [
    "BACKENDS",
    "GateInputs",
    "GateStyle",
    "Interruptions",
    "Options",
    "Parameters",
    "check_backend",
    "choose",
    "relational_memory",
]
