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
    """

    def __init__(self, input_size: int, output_size: int, *, layers: int, width: int) -> None:
        super().__init__()
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
        logits: Tensor = self.layers(hidden)
        return logits
