"""From a core's output to the scores of the answers."""

from itertools import pairwise

from torch import Tensor, nn


class ReadOut(nn.Module):
    """MLP with ReLU between its layers, then the logits (Santoro et al. 2018, A.1).

    The layers before a ReLU start from the normal distribution of He et al. 2015, which keeps the
    size of what passes through; with torch's own, four layers shrink it to a fortieth.

    Args:
        input_size: width I of what is read.
        output_size: number C of answers.
        layers: hidden layers.
        width: of a hidden layer.
        normalized: begin with a batch norm. What a memory holds in common to all examples is far
            greater than what it holds of the one at hand, which the norm brings forward.
    """

    def __init__(
        self, input_size: int, output_size: int, *, layers: int, width: int, normalized: bool
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(input_size) if normalized else nn.Identity()
        sizes = [input_size, *[width] * layers]
        parts: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layer = nn.Linear(before, after)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
            parts += [layer, nn.ReLU()]
        self.layers = nn.Sequential(*parts, nn.Linear(sizes[-1], output_size))

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits ``[..., C]`` of ``hidden`` ``[..., I]``."""
        rows = self.norm(hidden.flatten(0, -2))
        logits: Tensor = self.layers(rows)
        return logits.view(*hidden.shape[:-1], -1)
