"""Where to compute, by the names that the command takes."""

import torch

from .errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str) -> torch.device:
    """The device of a name of ``DEVICES``; "auto" is the fastest kind that this machine has.

    Raises:
        UserError: this machine, or this build of PyTorch, does not have it.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, here in found.items() if here), "cpu"))
    if not found.get(name, True):
        raise UserError(f"--device: this machine has no {name}; take auto or cpu")
    return torch.device(name)
