"""One layer of a causal transformer that can be run in pieces, like a recurrent layer.

Letters: T time, B batch, I input size, W width, H heads, D head size, P steps kept from before.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .arguments import check_count

ROTATION_BASE = 10_000.0
"""Of the rotary positions: pair i of D / 2 turns by ``base ** (-2 i / D)`` a step."""


class TransformerLayer(nn.Module):
    """Causal self-attention, then an MLP, each on normalised inputs with a residual (pre-norm).

    The state of the layer is the keys and values of earlier steps, so a sequence in pieces gives
    the same outputs as in one call. Positions are rotary (Su et al. 2021, "RoFormer"): attention
    depends on the distance between two steps alone, and a sequence may have any length.

    Args:
        input_size: I; if it is not W, a linear layer maps the input to W.
        hidden_size: W, a multiple of ``2 * num_heads``.
        num_heads: H.
        feedforward_size: width of the MLP's hidden layer; default: 4 W.
        window: number of steps that a step attends to, itself included; None: all so far. Beyond
            it, a layer sees nothing; L layers together see ``L * (window - 1) + 1`` steps.

    Raises:
        ValueError: a size is below 1, or W is not a multiple of ``2 * num_heads``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_heads: int,
        feedforward_size: int | None = None,
        window: int | None = None,
    ) -> None:
        super().__init__()
        check_count("input_size", input_size)
        check_count("hidden_size", hidden_size)
        check_count("num_heads", num_heads)
        if hidden_size % (2 * num_heads):
            raise ValueError(
                f"hidden_size must be a multiple of 2 * num_heads, {2 * num_heads}, "
                f"got {hidden_size}"
            )
        wide = 4 * hidden_size if feedforward_size is None else feedforward_size
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.window = None if window is None else check_count("window", window)
        same = input_size == hidden_size
        self.input = nn.Identity() if same else nn.Linear(input_size, hidden_size)
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.query_key_value = nn.Linear(hidden_size, 3 * hidden_size)
        self.attention_output = nn.Linear(hidden_size, hidden_size)
        self.mlp = nn.Sequential(
            nn.LayerNorm(hidden_size),
            nn.Linear(hidden_size, check_count("feedforward_size", wide)),
            nn.GELU(),
            nn.Linear(wide, hidden_size),
        )

    def initial_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """No keys and no values: two tensors ``[B, 0, W]``."""
        like = self.attention_output.weight
        return (like.new_zeros(batch_size, 0, self.hidden_size),) * 2

    def forward(
        self, inputs: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run the next T steps.

        Args:
            inputs: ``[T, B, I]``.
            state: keys and values ``[B, P, W]`` of the steps before.

        Returns:
            The outputs ``[T, B, W]``, and the keys and values of all steps, or of the last
            ``window - 1``.
        """
        hidden = self.input(inputs).transpose(0, 1)  # [B, T, W]
        attended, state = self._attend(self.attention_norm(hidden), state)
        hidden = hidden + attended
        hidden = hidden + self.mlp(hidden)
        return hidden.transpose(0, 1), state

    def _attend(
        self, hidden: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        before, steps = state[0].shape[1], hidden.shape[1]
        query, key, value = self.query_key_value(hidden).chunk(3, dim=-1)  # [B, T, W] each
        # Keys are kept without their positions, which are counted from the first one kept.
        key, value = torch.cat((state[0], key), dim=1), torch.cat((state[1], value), dim=1)
        positions = torch.arange(before + steps, device=hidden.device)
        attended = F.scaled_dot_product_attention(
            rotated(self._heads(query), positions[before:]),
            rotated(self._heads(key), positions),
            self._heads(value),
            attn_mask=self._mask(positions[before:], positions),
        )  # [B, H, T, D]
        output = self.attention_output(attended.transpose(1, 2).flatten(2))
        kept = 0 if self.window is None else max(0, before + steps - (self.window - 1))
        return output, (key[:, kept:], value[:, kept:])

    def _heads(self, rows: Tensor) -> Tensor:
        split = rows.view(*rows.shape[:2], self.num_heads, -1)
        return split.transpose(1, 2)  # [B, H, steps, D]

    def _mask(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Whether the step of each query sees that of each key: ``[T, P + T]`` bool."""
        distance = queries[:, None] - keys
        seen = distance >= 0
        return seen if self.window is None else seen & (distance < self.window)


def rotated(rows: Tensor, positions: Tensor) -> Tensor:
    """Rotate the pairs (i, i + D / 2) of each row by an angle in proportion to its position.

    Args:
        rows: ``[..., steps, D]``, D even.
        positions: ``[steps]``.
    """
    half = rows.shape[-1] // 2
    exponents = torch.arange(half, device=rows.device) / half
    angles = positions[:, None] * ROTATION_BASE**-exponents  # [steps, D / 2], float32
    cosine, sine = angles.cos().to(rows.dtype), angles.sin().to(rows.dtype)
    one, other = rows.chunk(2, dim=-1)
    return torch.cat((one * cosine - other * sine, one * sine + other * cosine), dim=-1)
