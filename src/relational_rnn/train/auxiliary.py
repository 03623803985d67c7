"""Training-only heads: they read the memory at every step and are not part of the saved model.

The answer alone teaches little, one label for a whole sequence. What the memory should hold after
each step is known as well, and a linear head that has to find it there teaches the core what to
store and what to compute. The test does not use the heads.

Heads are called as ``heads(outputs, inputs, lengths)`` and return their loss. ``outputs`` [T, B, O]
are the core's at the steps that read ``inputs`` [T, B, ...], of ``lengths`` [B].
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..config import GeneratedConfig, NthFarthestConfig, ProgramsConfig
from ..models.encoder_decoder import end_aligned
from ..tasks.nth_farthest import knowledge
from ..tasks.programs.running_value import running_values


class Distances(nn.Module):
    """Squared distances from m, and the vectors still needed, after each step of Nth farthest.

    The loss is the sum of two mean squared errors, each as a fraction of the variance.

    Args:
        config: number and size of the objects.
        width: of the core's output.
    """

    def __init__(self, config: NthFarthestConfig, width: int) -> None:
        super().__init__()
        self.objects, self.features = config.objects, config.features
        self.norm = nn.BatchNorm1d(width)
        self.distances = nn.Linear(width, self.objects)
        self.vectors = nn.Linear(width, self.objects * self.features)

    def forward(self, outputs: Tensor, inputs: Tensor, lengths: Tensor) -> Tensor:
        """The loss, a scalar."""
        right = knowledge(inputs, self.objects)
        outputs = self.norm(outputs.flatten(0, 1)).view(outputs.shape)
        # Of two uniform numbers in (-1, 1), the squared difference has mean 2/3, variance 28/45;
        # the number itself has variance 1/3.
        mean, deviation = self.features * 2 / 3, (self.features * 28 / 45) ** 0.5
        distances = self.distances(outputs) - (right.distances - mean) / deviation  # [T, B, O]
        vectors = self.vectors(outputs).unflatten(-1, (self.objects, -1)) - right.vectors
        return _mean(distances.square(), right.known) + 3 * _mean(
            vectors.square().mean(dim=-1), right.needed
        )


def _mean(values: Tensor, which: Tensor) -> Tensor:
    return (values * which).sum() / which.sum().clamp(min=1)


class RunningValue(nn.Module):
    """All digits of the program's value as far as it has been read, after each character.

    Digits are counted from the first one that the answer can have, which does not depend on what
    is still to come. The loss is the mean cross-entropy of a digit.

    Args:
        config: length of the literals.
        width: of the core's output.
    """

    def __init__(self, config: ProgramsConfig, width: int) -> None:
        super().__init__()
        self.digits = config.length + 1
        self.norm = nn.BatchNorm1d(width)
        self.values = nn.Linear(width, self.digits * 10)

    def forward(self, outputs: Tensor, inputs: Tensor, lengths: Tensor) -> Tensor:
        """The loss, a scalar."""
        values, length = running_values(inputs)  # [T, B], [B]
        exponents = length - torch.arange(self.digits, device=length.device)[:, None]  # [D, B]
        digits = values[:, None] // 10 ** exponents.clamp(min=0) % 10  # [T, D, B]
        classes = (digits + 1).where(exponents >= 0, 0)  # 0: not a digit of this program
        aligned = torch.stack(
            [end_aligned(column, lengths) for column in classes.unbind(1)], dim=-1
        )  # [T, B, D]
        logits = self.values(self.norm(outputs.flatten(0, 1)))  # [T * B, D * 10]
        return cross_entropy(logits.view(-1, 10).float(), aligned.flatten() - 1, ignore_index=-1)


def build(config: GeneratedConfig, width: int) -> nn.Module | None:
    """The heads that a configuration asks for; None if it asks for none."""
    if isinstance(config, NthFarthestConfig) and config.auxiliary:
        return Distances(config, width)
    if isinstance(config, ProgramsConfig) and config.auxiliary:
        return RunningValue(config, width)
    return None
