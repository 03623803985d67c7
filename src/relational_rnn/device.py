"""Choose the device by its name on the command line."""

import torch

from .errors import UserError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str) -> torch.device:
    """Return the device of a name in ``DEVICES``; "auto" is the fastest one of this machine.

    Raises:
        UserError: this machine, or this build of PyTorch, has no such device.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, here in found.items() if here), "cpu"))
    if not found.get(name, True):
        raise UserError(f"--device: this machine has no {name}; use auto or cpu")
    return torch.device(name)
