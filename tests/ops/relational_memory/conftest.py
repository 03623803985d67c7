"""Problems to compare implementations on."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from relational_rnn.ops.relational_memory import GateInputs, GateStyle, Options, Parameters


class Problem(NamedTuple):
    inputs: Tensor  # [T, B, n, I]
    memory: Tensor  # [B, N, M]
    parameters: Parameters
    options: Options
    d_outputs: Tensor
    d_memory: Tensor

    def to(self, dtype: torch.dtype, device: str = "cpu") -> "Problem":
        def cast(x: Tensor) -> Tensor:
            return x.detach().to(device, dtype).requires_grad_(x.requires_grad)

        parameters = Parameters(*(None if x is None else cast(x) for x in self.parameters))
        return Problem(
            cast(self.inputs),
            cast(self.memory),
            parameters,
            self.options,
            cast(self.d_outputs),
            cast(self.d_memory),
        )

    def gradients(self) -> dict[str, Tensor]:
        named = {"inputs": self.inputs, "memory": self.memory, **self.parameters._asdict()}
        return {name: x.grad for name, x in named.items() if x is not None}


def make_problem(
    *,
    steps: int = 5,
    batch: int = 3,
    rows: int = 1,
    input_size: int = 4,
    slots: int = 1,
    heads: int = 2,
    head: int = 3,
    key: int = 5,
    blocks: int = 1,
    layers: int = 2,
    gate: GateStyle | None = "unit",
    gate_inputs: GateInputs = "projected",
    seed: int = 0,
) -> Problem:
    """Random float64 tensors of a given size; gains about one, everything else about zero."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 1.0, centre: float = 0.0) -> Tensor:
        x = torch.randn(*shape, generator=random, dtype=torch.float64) * scale + centre
        return x.requires_grad_()

    size, width = heads * head, heads * (2 * key + head)
    gates = {"unit": 2 * size, "memory": 2, None: 0}[gate]
    read = input_size if gate_inputs == "raw" else size
    parameters = Parameters(
        draw(size, input_size, scale=input_size**-0.5),
        draw(size, scale=0.1),
        draw(blocks, width, size, scale=size**-0.5),
        draw(blocks, width, scale=0.1),
        draw(blocks, width, scale=0.1, centre=1.0),
        draw(blocks, width, scale=0.1),
        draw(blocks, size, scale=0.1, centre=1.0),
        draw(blocks, size, scale=0.1),
        draw(layers, size, size, scale=size**-0.5),
        draw(layers, size, scale=0.1),
        draw(blocks, size, scale=0.1, centre=1.0),
        draw(blocks, size, scale=0.1),
        draw(gates, rows * read, scale=read**-0.5) if gate else None,
        draw(gates, scale=0.1) if gate else None,
        draw(gates, size, scale=size**-0.5) if gate else None,
        draw(gates, scale=0.1) if gate else None,
    )
    return Problem(
        draw(steps, batch, rows, input_size),
        draw(batch, slots, size),
        parameters,
        Options(heads, head, key, gate, 1.0, -0.25, gate_inputs),
        draw(steps, batch, slots, size).detach(),
        draw(batch, slots, size).detach(),
    )


@pytest.fixture
def problem() -> Callable[..., Problem]:
    return make_problem
