"""Conversion between Sonnet's variables and our state dict.

Sonnet numbers the parts of a core in order of creation: ``linear`` projects the input,
``linear_1`` to ``linear_K`` are the blocks' qkv projections, the next two compute the
gates; ``layer_norm_{3k}`` and the two after it belong to block k; the number 0 is omitted.
A linear layer's ``w`` is ``[in, out]``, the transpose of ours.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor


def _numbered(name: str, number: int) -> str:
    return name if number == 0 else f"{name}_{number}"


def _pairs(shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str, int | None]]:
    """Sonnet's name without its scope, our name, and the index in our stack of blocks or layers."""
    blocks = shapes["qkv_weight"][0]

    def linear(theirs: str, ours: str, place: int | None) -> Iterator[tuple[str, str, int | None]]:
        yield f"{theirs}/w", f"{ours}_weight", place
        yield f"{theirs}/b", f"{ours}_bias", place

    yield from linear("linear", "projection", None)
    for block in range(blocks):
        yield from linear(f"linear_{1 + block}", "qkv", block)
        for offset, ours in enumerate(("qkv_norm", "attention_norm", "mlp_norm")):
            theirs = _numbered("layer_norm", 3 * block + offset)
            yield f"{theirs}/gamma", f"{ours}_weight", block
            yield f"{theirs}/beta", f"{ours}_bias", block
    for layer in range(shapes["mlp_weight"][0]):
        yield from linear(f"mlp/linear_{layer}", "mlp", layer)
    if "gate_input_weight" in shapes:
        yield from linear(f"linear_{blocks + 1}", "gate_input", None)
        yield from linear(f"linear_{blocks + 2}", "gate_memory", None)


def from_variables(
    variables: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Tensor]:
    """Our state dict from Sonnet's variables.

    Args:
        variables: name to array; the names share one scope, such as ``relational_memory/``.
        shapes: of our state dict.

    Raises:
        ValueError: for a missing or unknown variable or one of another shape, naming it.
    """
    anchor = "layer_norm/gamma"  # every core has it, outside of its MLP
    scopes = [name.removesuffix(anchor) for name in variables if name.endswith("/" + anchor)]
    scope = scopes[0] if scopes else ""
    for name, array in variables.items():
        kind = getattr(array, "dtype", type(array).__name__)
        if kind not in (np.float32, np.float64):
            raise ValueError(f"variable {name!r} must be float32 or float64, got {kind}")
    left = dict(variables)
    double = any(array.dtype == np.float64 for array in variables.values())
    dtype = torch.float64 if double else torch.float32
    state = {name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items()}
    for theirs, ours, place in _pairs(shapes):
        name = scope + theirs
        if name not in left:
            raise ValueError(f"variable {name!r} is missing, got {sorted(variables)}")
        value = torch.from_numpy(np.array(left.pop(name)))
        value = value.mT if theirs.endswith("/w") and value.ndim > 1 else value
        target = state[ours] if place is None else state[ours][place]
        if value.shape != target.shape:
            raise ValueError(
                f"variable {name!r} must have shape "
                f"{list(target.mT.shape if theirs.endswith('/w') else target.shape)} with these "
                f"arguments, got {list(variables[name].shape)}"
            )
        target.copy_(value)
    if left:
        raise ValueError(f"variables {sorted(left)} are not part of a core with these arguments")
    return state


def to_variables(
    state: Mapping[str, Tensor], scope: str = "relational_memory/"
) -> dict[str, np.ndarray]:
    """Sonnet's variables from our state dict: copies in float32 or float64."""
    variables = {}
    for theirs, ours, place in _pairs({name: tuple(value.shape) for name, value in state.items()}):
        value = state[ours] if place is None else state[ours][place]
        value = value.mT if theirs.endswith("/w") else value
        dtype = torch.promote_types(value.dtype, torch.float32)  # numpy has no bfloat16
        variables[scope + theirs] = value.detach().to("cpu", dtype).numpy().copy()
    return variables
