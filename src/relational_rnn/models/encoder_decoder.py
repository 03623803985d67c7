"""Read a string of characters, then write another one, with a single core.

Letters: T reading steps, T_out writing steps, B batch, V characters including padding.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..config import WritingConfig
from .cores import Stack
from .readout import ReadOut


class EncoderDecoder(nn.Module):
    """Core -> state -> the same core -> readout at every step (Santoro et al. 2018, A.2).

    A string shorter than T is padded at the start, so that the core reaches the end of all strings
    at the same step and its state can be used directly. (Sonnet pads at the end and holds the
    state of finished strings.) Padding is a character of its own.

    While writing, the core reads zeros, its own previous character, or in training the correct
    one, as ``config.decoder_inputs`` says. In training, its own characters are determined first,
    in evaluation mode. The training pass then has one dropout mask per string and one set of batch
    statistics in all three cases.

    Args:
        config: core, readout, and decoder inputs.
        characters: number V of ids; id 0 is padding.

    Attributes:
        padding: id of padding; targets with this id are ignored.
    """

    padding = 0

    def __init__(self, config: WritingConfig, *, characters: int) -> None:
        super().__init__()
        self.characters = characters
        self.decoder_inputs = config.decoder_inputs
        self.core = Stack(config, characters)
        self.readout = ReadOut(
            self.core.output_size,
            characters,
            layers=config.readout_layers,
            width=config.readout_size,
            normalized=config.readout_norm,
        )

    def forward(self, inputs: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Logits ``[T_out, B, V]``.

        Args:
            inputs: ids ``[T, B]``, padded at the end.
            lengths: ``[B]``, characters of each string.
            targets: ids ``[T_out, B]``. Only T_out is used, except in training with
                ``decoder_inputs`` "targets", where they are read.
        """
        if self.decoder_inputs != "zeros" and not self.training:
            return self._write(self.encode(end_aligned(inputs, lengths)), len(targets))
        return self.read_and_answer(inputs, lengths, targets)[1]

    def read_and_answer(
        self, inputs: Tensor, lengths: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The core's output at every reading step ``[T, B, O]``, and the logits, in training.

        Arguments as for the call. The steps are those of :func:`end_aligned` inputs.
        """
        read = self.encode(end_aligned(inputs, lengths))  # [T, B, V]
        blank = read.new_zeros(1, *read.shape[1:])
        if self.decoder_inputs == "zeros":
            fed = blank.expand(len(targets), -1, -1)
        else:
            forced = self.decoder_inputs == "targets"
            characters = targets if forced else self._own_characters(read, len(targets))
            fed = torch.cat((blank, self.encode(characters[:-1])))
        output, _ = self.core(torch.cat((read, fed)), self.core.initial_state(inputs.shape[1]))
        return output[: len(read)], self.readout(output[len(read) :])

    def encode(self, ids: Tensor) -> Tensor:
        """One-hot vectors ``[T, B, V]`` of ids ``[T, B]``."""
        like = next(self.parameters())
        return one_hot(ids, self.characters).to(like.dtype)

    @torch.no_grad()
    def _own_characters(self, read: Tensor, steps: int) -> Tensor:
        """Ids ``[steps, B]`` that the model writes in evaluation mode; used in training."""
        self.eval()
        try:
            return self._write(read, steps).argmax(dim=-1)
        finally:
            self.train()

    def _write(self, read: Tensor, steps: int) -> Tensor:
        """Logits ``[steps, B, V]`` of a core that reads its own previous character."""
        _, state = self.core(read, self.core.initial_state(read.shape[1]))
        last = read.new_zeros(1, *read.shape[1:])
        logits: list[Tensor] = []
        for _ in range(steps):
            output, state = self.core(last, state)
            logits.append(self.readout(output))  # [1, B, V]
            last = self.encode(logits[-1].argmax(dim=-1))
        return torch.cat(logits)


def end_aligned(ids: Tensor, lengths: Tensor) -> Tensor:
    """Move the padding of ids ``[T, B]`` from the end of each column to its start.

    Args:
        ids: ids, where 0 is padding.
        lengths: ``[B]``, ids per column without padding.
    """
    steps = torch.arange(len(ids), device=ids.device)[:, None]  # [T, 1]
    source = steps - (len(ids) - lengths)  # [T, B]
    return ids.gather(0, source.clamp(min=0)).where(source >= 0, 0)
