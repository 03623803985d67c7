"""Character vocabulary of the tasks whose inputs and targets are strings."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from .argument_checks import InvalidArgumentError
from .sampling import Batch
from .task import Description

PAD = 0  # padding id of inputs and targets; losses ignore targets with this id


class Characters:
    """Vocabulary of single characters: ``symbols[i]`` has id i + 1, id 0 (``PAD``) is padding."""

    def __init__(self, symbols: str) -> None:
        self.symbols = symbols
        self.index = {symbol: number for number, symbol in enumerate(symbols, start=1)}

    def __len__(self) -> int:
        return len(self.symbols) + 1

    def encode(self, texts: Sequence[str], steps: int) -> tuple[Tensor, Tensor]:
        """Return ``(ids [steps, B] int64, lengths [B] int64)``, each column padded at its end.

        Raises:
            InvalidArgumentError: a text is longer than ``steps``, or one of its characters is not
                in the vocabulary.
        """
        ids = torch.full((len(texts), steps), PAD)  # [B, steps]
        for row, text in enumerate(texts):
            if len(text) > steps:
                raise InvalidArgumentError(
                    f"text must be at most {steps} characters long, the input steps of the model, "
                    f"got {len(text)}: {text[:40]!r}{'...' if len(text) > 40 else ''}"
                )
            for position, symbol in enumerate(text):
                if symbol not in self.index:
                    raise InvalidArgumentError(
                        f"character {position + 1} of {text!r} must be in the vocabulary "
                        f"{self.symbols}, got {symbol!r}"
                    )
                ids[row, position] = self.index[symbol]
        return ids.T.contiguous(), torch.tensor([len(text) for text in texts], dtype=torch.int64)

    def decode(self, ids: Tensor) -> list[str]:
        """Return the B strings of ``ids [T, B]``, padding removed."""
        table = ["", *self.symbols]
        return ["".join(table[i] for i in column) for column in ids.T.tolist()]

    def describe(self, batch: Batch, answer: Tensor) -> Description:
        """Describe a batch of one example: the text that is read, and the one that is written."""
        text, right = (self.decode(ids)[0] for ids in (batch.inputs, batch.targets))
        written = self.decode(answer)[0]
        padding = ["·"] * (len(batch.inputs) - len(text))
        letters = [self.decode(row[None])[0] or "·" for row in answer]
        return Description(
            f"{text}: answer {written[: len(right)]}, correct {right}",
            [*padding, *text, *(f"→{symbol}" for symbol in letters)],
        )


def padded(ids: Tensor, steps: int) -> Tensor:
    """Pad ``ids [T, B]`` after the end to ``[steps, B]``."""
    return pad(ids, (0, 0, 0, steps - len(ids)), value=PAD)
