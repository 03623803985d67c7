"""One LSTM layer as a plain Python loop over time.

Letters: T time, B batch, I input size, H hidden size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .arguments import check_count, check_reset, check_sequence, check_state


class LoopLSTM(nn.Module):
    """Equal to a one-layer `torch.nn.LSTM`, parameters and `state_dict` included.

    Compared with `torch.nn.LSTM` it shows what a loop of small operations costs, as opposed to the
    core itself. The same seed draws the same weights.

    Args:
        input_size: I.
        hidden_size: H.

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        check_count("input_size", input_size)
        check_count("hidden_size", hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        # Rows: input gate, forget gate, candidate, output gate.
        self.weight_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size))
        self.bias_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights as `torch.nn.LSTM` does: uniform within 1/sqrt(H)."""
        bound = self.hidden_size**-0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(
        self,
        inputs: Tensor,
        state: tuple[Tensor, Tensor] | None = None,
        *,
        reset: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run a sequence.

        Args:
            inputs: ``[T, B, I]``.
            state: hidden and cell state, each ``[1, B, H]``; default: zeros.
            reset: ``[T, B]`` bool: whether both states are zero again before a step; default:
                nowhere.

        Returns:
            The hidden state after each step ``[T, B, H]``, and both states after the last.

        Raises:
            TypeError: an argument is not a tensor.
            ValueError: T is 0, or an argument has another shape or dtype.
        """
        check_sequence(inputs)
        if state is None:
            zeros = inputs.new_zeros(inputs.shape[1], self.hidden_size)
            hidden, cell = zeros, zeros  # [B, H]
        else:
            first, second = state
            for name, each in (("hidden state", first), ("cell state", second)):
                check_state(name, each, (1, inputs.shape[1], self.hidden_size))
            hidden, cell = first[0], second[0]
        if reset is not None:
            check_reset(reset, (inputs.shape[0], inputs.shape[1]))
        outputs = []
        for number, step in enumerate(inputs.unbind(0)):
            if reset is not None:
                fresh = reset[number, :, None]
                hidden, cell = hidden.masked_fill(fresh, 0), cell.masked_fill(fresh, 0)
            hidden, cell = self._step(step, hidden, cell)
            outputs.append(hidden)
        return torch.stack(outputs), (hidden[None], cell[None])

    def _step(self, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        gates = F.linear(inputs, self.weight_ih_l0, self.bias_ih_l0)
        gates = gates + F.linear(hidden, self.weight_hh_l0, self.bias_hh_l0)  # [B, 4 H]
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
        cell = forget_gate.sigmoid() * cell + input_gate.sigmoid() * candidate.tanh()
        return output_gate.sigmoid() * cell.tanh(), cell

    def extra_repr(self) -> str:
        """What ``print`` shows."""
        return f"{self.input_size}, {self.hidden_size}"
