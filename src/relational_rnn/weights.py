"""A model's weights in a file: safetensors, or a checkpoint of an unfinished run."""

from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError
from .files import write_bytes

if TYPE_CHECKING:
    import torch
    from torch import nn


def save_weights(model: "nn.Module", path: Path) -> None:
    """Write every parameter and buffer once (tied ones under their first name) as safetensors."""
    from safetensors.torch import save as to_bytes

    tensors = {name: value.detach().contiguous() for name, value in _kept(model).items()}
    write_bytes(path, to_bytes(tensors))


def load_weights(model: "nn.Module", path: Path) -> None:
    """Read a file of :func:`save_weights` into ``model``, converted to the model's dtype.

    Raises:
        UserError: the file is broken, or belongs to another model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: broken, or not a safetensors file: {error}") from error
    _put(model, tensors, path)


def load_checkpoint(model: "nn.Module", path: Path) -> None:
    """Read the weights to be evaluated from a checkpoint: the averaged ones, if there are any."""
    import torch

    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    except Exception as error:
        raise UserError(f"{path}: truncated, or not a checkpoint of this package") from error
    prefix = "averaged.module." if saved.get("averaged.n_averaged", 0) > 0 else "model."
    names = _kept(model)
    _put(model, {name: saved[prefix + name] for name in names if prefix + name in saved}, path)


def _kept(model: "nn.Module") -> dict[str, "torch.Tensor"]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _put(model: "nn.Module", tensors: dict[str, "torch.Tensor"], path: Path) -> None:
    import torch

    parameters = _kept(model)
    if different := parameters.keys() ^ tensors.keys():
        raise UserError(f"{path}: of another model: only one of them has {min(different)}")
    with torch.no_grad():
        for name, value in parameters.items():
            if value.shape != tensors[name].shape:
                found, wanted = list(tensors[name].shape), list(value.shape)
                raise UserError(f"{path}: of another model: {name} is {found}, not {wanted}")
            value.copy_(tensors[name])
