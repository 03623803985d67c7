"""Read a sequence of symbols and answer at its steps."""

from torch import Tensor, nn

from ..config import TaggingConfig
from .cores import Stack
from .readout import ReadOut


class SequenceTagger(nn.Module):
    """Embedding -> core -> readout at every step, or at the marked ones.

    Letters: T time, B batch, S answers, C classes, E embedding size.

    Args:
        config: core, readout and embedding size.
        symbols: number of symbols that can be read.
        classes: number C of classes. None: the answers are symbols; the readout's outputs
            ``[S, B, E]`` are compared with the embedding of each (tied weights, as in Zoology).

    Attributes:
        padding: targets with this value are ignored; it is not a class.
    """

    padding = -100

    def __init__(self, config: TaggingConfig, *, symbols: int, classes: int | None = None) -> None:
        super().__init__()
        width = config.embedding_size
        self.tied = classes is None
        self.embedding = nn.Embedding(symbols, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)  # vectors of about unit length
        self.core = Stack(config, width)
        self.readout = ReadOut(
            self.core.output_size,
            width if classes is None else classes,
            layers=config.readout_layers,
            width=config.readout_size,
            normalized=config.readout_norm,
        )

    def forward(self, inputs: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Logits ``[S, B, C]``.

        Args:
            inputs: ids ``[T, B]``, with an answer at every step (S = T); or ids and marks
                ``[T, B, 2]``, with an answer where the mark is 1, S times in every column.
            lengths: unused; all T steps are read.
            targets: unused; see :class:`.EncoderDecoder`.
        """
        return self.read_and_answer(inputs, lengths, targets)[1]

    def read_and_answer(
        self, inputs: Tensor, lengths: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The core's output at every step ``[T, B, O]``, and the logits; arguments as above."""
        marked = inputs.dim() == 3
        ids = inputs[..., 0] if marked else inputs
        read, _ = self.core(self.embedding(ids), self.core.initial_state(ids.shape[1]))
        if marked:
            due = inputs[..., 1].T == 1  # [B, T]: a column's answers follow one another
            chosen = read.transpose(0, 1)[due]  # [B * S, O]
            asked = chosen.view(ids.shape[1], -1, read.shape[-1]).transpose(0, 1)
        answers: Tensor = self.readout(asked if marked else read)
        return read, answers @ self.embedding.weight.T if self.tied else answers
