"""Reads a string of characters, then writes another, with one core.

Letters: T steps of reading, T_out steps of writing, B batch, V characters, padding included.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..config import WritingConfig
from .cores import Stack
from .readout import ReadOut


class EncoderDecoder(nn.Module):
    """Core -> state -> the same core -> read-out at every step (Santoro et al. 2018, A.2).

    A string shorter than T is read at the end of the T steps, after padding: the core is then at
    the end of every string at the same time, and hands its memory over without a detour. (Sonnet
    pads at the end, and holds the state of the strings that have ended.) Padding is a character of
    its own; while writing, the core reads vectors of zeros, its own last character, or in
    training the right one, as ``config.decoder_inputs`` says. Its own characters are found first,
    as in a test, so that training itself has one dropout mask a string and one set of batch
    statistics whatever is read.

    Args:
        config: its core, its read-out, what is read while writing.
        characters: number V of ids; 0 is padding.

    Attributes:
        padding: id of padding: a target that does not count.
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
            inputs: ids ``[T, B]``, padded after the end.
            lengths: ``[B]``, characters of each.
            targets: ids ``[T_out, B]``. Their number decides how many are written; what they are
                is only looked at in training, with ``decoder_inputs`` "targets".
        """
        read = self.encode(end_aligned(inputs, lengths))  # [T, B, V]
        blank = read.new_zeros(1, *read.shape[1:])
        if self.decoder_inputs == "zeros":
            fed = blank.expand(len(targets), -1, -1)
        elif not self.training:
            return self._write(read, len(targets))
        else:
            forced = self.decoder_inputs == "targets"
            characters = targets if forced else self._as_in_a_test(read, len(targets))
            fed = torch.cat((blank, self.encode(characters[:-1])))
        output, _ = self.core(torch.cat((read, fed)), self.core.initial_state(inputs.shape[1]))
        logits: Tensor = self.readout(output[len(read) :])
        return logits

    def encode(self, ids: Tensor) -> Tensor:
        """One-hot vectors ``[T, B, V]`` of ids ``[T, B]``."""
        like = next(self.parameters())
        return one_hot(ids, self.characters).to(like.dtype)

    @torch.no_grad()
    def _as_in_a_test(self, read: Tensor, steps: int) -> Tensor:
        """Ids ``[steps, B]`` that it writes without dropout; for training."""
        self.eval()
        try:
            return self._write(read, steps).argmax(dim=-1)
        finally:
            self.train()

    def _write(self, read: Tensor, steps: int) -> Tensor:
        """Logits ``[steps, B, V]`` of a core that reads what it wrote last."""
        _, state = self.core(read, self.core.initial_state(read.shape[1]))
        last = read.new_zeros(1, *read.shape[1:])
        logits: list[Tensor] = []
        for _ in range(steps):
            output, state = self.core(last, state)
            logits.append(self.readout(output))  # [1, B, V]
            last = self.encode(logits[-1].argmax(dim=-1))
        return torch.cat(logits)


def end_aligned(ids: Tensor, lengths: Tensor) -> Tensor:
    """Move the padding of ids ``[T, B]`` from after the end to before the beginning.

    Args:
        ids: 0 is padding.
        lengths: ``[B]``, ids of each column that are not padding.
    """
    steps = torch.arange(len(ids), device=ids.device)[:, None]  # [T, 1]
    source = steps - (len(ids) - lengths)  # [T, B]
    return ids.gather(0, source.clamp(min=0)).where(source >= 0, 0)
