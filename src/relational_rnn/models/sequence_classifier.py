"""Read a sequence of vectors, then predict a class."""

from torch import Tensor, nn

from ..config import GeneratedConfig
from .cores import Stack
from .readout import ReadOut


class SequenceClassifier(nn.Module):
    """Core -> readout of the output at the last step (Santoro et al. 2018, A.1).

    Letters: T time, B batch, I input size, C classes.

    Args:
        config: core and readout.
        input_size: width I of a vector.
        classes: number C of classes.

    Attributes:
        padding: targets with this value are ignored; it is not a class.
    """

    padding = -100

    def __init__(self, config: GeneratedConfig, *, input_size: int, classes: int) -> None:
        super().__init__()
        self.core = Stack(config, input_size)
        self.readout = ReadOut(
            self.core.output_size,
            classes,
            layers=config.readout_layers,
            width=config.readout_size,
            normalized=config.readout_norm,
        )

    def forward(self, inputs: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Logits ``[B, C]``.

        Args:
            inputs: ``[T, B, I]``.
            lengths: unused; all T steps are read.
            targets: unused; see :class:`.EncoderDecoder`.
        """
        return self.read_and_answer(inputs, lengths, targets)[1]

    def read_and_answer(
        self, inputs: Tensor, lengths: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The core's output at every step ``[T, B, O]``, and the logits; arguments as above."""
        output, _ = self.core(inputs, self.core.initial_state(inputs.shape[1]))
        return output, self.readout(output[-1])
