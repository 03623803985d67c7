"""Readout MLP of the reasoning tasks: from a core's output to logits."""

from itertools import pairwise

from torch import Tensor, nn


class ReadOut(nn.Module):
    """MLP with ReLU after every hidden layer (Santoro et al. 2018, A.1).

    Hidden layers are initialized as in He et al. 2015, which preserves the scale of activations;
    with torch's default, four layers shrink it to a fortieth.

    Args:
        input_size: input width I.
        output_size: number C of classes.
        layers: number of hidden layers.
        width: of a hidden layer.
        normalized: start with batch normalization. The part of a memory that is common to all
            examples is much larger than the part specific to one, which the norm brings out.
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
