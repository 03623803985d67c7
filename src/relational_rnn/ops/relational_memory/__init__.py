"""The relational memory as a function of tensors; README.md in this folder has the mathematics."""

from .dispatch import BACKENDS, check_backend, relational_memory
from .parameters import GateStyle, Options, Parameters

__all__ = [
    "BACKENDS",
    "GateStyle",
    "Options",
    "Parameters",
    "check_backend",
    "relational_memory",
]
