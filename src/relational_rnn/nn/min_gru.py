"""One minGRU layer: a GRU whose gate and candidate do not read the state.

Letters: T time, B batch, I input size, H hidden size.
"""

import torch
from torch import Tensor, nn

from .arguments import check_count, check_reset, check_sequence, check_state


class MinGRU(nn.Module):
    """The minGRU of Feng et al. 2024, "Were RNNs all we needed?" (arXiv 2410.01201, section 3.1)::

        h[t] = (1 - z[t]) h[t-1] + z[t] c[t],   z = sigmoid(Wz x + bz),   c = Wc x + bc

    With ``[T, B, I]`` it is called like a `torch.nn.GRU` of one layer. The first H rows of
    ``linear`` give the logit of ``1 - z``, the share that is kept, and the other H give c. The
    authors' other form, in logarithms, makes c positive (B.3.1); here it has either sign. This is a
    loop over time. Nothing in a step depends on the state but a product and a sum, so a scan could
    run all steps in parallel.

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
        self.hidden_size = hidden_size
        self.linear = nn.Linear(input_size, 2 * hidden_size)

    def forward(
        self, inputs: Tensor, state: Tensor | None = None, *, reset: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run a sequence.

        Args:
            inputs: ``[T, B, I]``.
            state: ``[1, B, H]``; default: zeros.
            reset: ``[T, B]`` bool: whether the state is zero again before a step; default: nowhere.

        Returns:
            The state after each step ``[T, B, H]``, and after the last ``[1, B, H]``, in the dtype
            of the inputs.

        Raises:
            TypeError: an argument is not a tensor.
            ValueError: T is 0, or an argument has another shape or dtype.
        """
        check_sequence(inputs)
        if state is not None:
            check_state("state", state, (1, inputs.shape[1], self.hidden_size))
        if reset is not None:
            check_reset(reset, (inputs.shape[0], inputs.shape[1]))
        projected = self.linear(inputs)
        # bfloat16 has too few digits for a sum over many steps.
        projected = projected.to(torch.promote_types(projected.dtype, torch.float32))
        gate, candidate = projected.chunk(2, dim=-1)
        keep, written = gate.sigmoid(), (-gate).sigmoid() * candidate  # [T, B, H]
        hidden = torch.zeros_like(written[0]) if state is None else state[0].to(written.dtype)
        outputs = []
        for step, (factor, term) in enumerate(zip(keep.unbind(0), written.unbind(0), strict=True)):
            if reset is not None:
                hidden = hidden.masked_fill(reset[step, :, None], 0)
            hidden = torch.addcmul(term, factor, hidden)
            outputs.append(hidden)
        output = torch.stack(outputs).to(inputs.dtype)
        return output, output[-1:]
