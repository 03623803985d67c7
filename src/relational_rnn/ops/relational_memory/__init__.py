"""The relational memory as a function of tensors; README.md in this folder has the mathematics."""

from .dispatch import BACKENDS, check_backend, relational_memory
from .parameters import GateStyle, Interruptions, Options, Parameters

__all__ = [
    "BACKENDS",
    "GateStyle",
    "Interruptions",
    "Options",
    "Parameters",
    "check_backend",
    "relational_memory",
]
