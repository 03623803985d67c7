"""A model's weights in a file: safetensors, or a checkpoint of a run."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError
from .files import write_bytes

if TYPE_CHECKING:
    import torch
    from torch import nn


def save_weights(model: "nn.Module", path: Path) -> None:
    """Write every parameter and buffer once (tied ones under their first name) as safetensors."""
    _save(_kept(model), path)


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


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises:
        UserError: the file is truncated or not a checkpoint.
    """
    import torch

    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content["state_dict"], dict):
            raise TypeError("no weights")
    except Exception as error:
        raise UserError(f"{path}: truncated, or not a checkpoint of this package") from error
    return content


def load_checkpoint(model: "nn.Module", path: Path) -> None:
    """Read the best weights from a checkpoint into ``model``.

    Raises:
        UserError: the file is truncated, belongs to another model, or has the weights of a later
            step than the best one.
    """
    saved = read_checkpoint(path)
    state = saved.get("callbacks", {}).get("Loop", {})
    if state.get("best_step", 0) not in (0, state.get("step")):
        raise UserError(
            f"{path}: has the weights of step {state['step']:,}, not the best ones of step "
            f"{state['best_step']:,}, and neither model.safetensors nor best.ckpt is there; "
            "restore one of them"
        )
    _put(model, _evaluated(saved, _kept(model)), path)


def save_checkpoint_weights(saved: dict[str, Any], model: "nn.Module", path: Path) -> None:
    """Write the weights of a checkpoint as :func:`save_weights` does.

    Args:
        saved: content of the checkpoint.
        model: names the weights; its values are not used.
        path: the file to write.
    """
    _save(_evaluated(saved, _kept(model)), path)


def _evaluated(saved: dict[str, Any], names: Iterable[str]) -> dict[str, "torch.Tensor"]:
    """The weights in a checkpoint to be evaluated: the averaged ones, if there are any."""
    weights = saved["state_dict"]
    prefix = "averaged.module." if weights.get("averaged.n_averaged", 0) > 0 else "model."
    return {name: weights[prefix + name] for name in names if prefix + name in weights}


def _save(tensors: dict[str, "torch.Tensor"], path: Path) -> None:
    from safetensors.torch import save as to_bytes

    plain = {name: value.detach().contiguous() for name, value in tensors.items()}
    write_bytes(path, to_bytes(plain))


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
