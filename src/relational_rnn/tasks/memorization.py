"""Memorization: read digits, then copy, reverse or double them (Santoro et al. 2018, 4.1).

The original generator can nest the operation: it is applied once more for every pair of brackets
around the digits. The original loader rejects such strings, so batches contain none ("nesting 1"
there); ``evaluate`` accepts them.
"""

import random
from decimal import Decimal
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .argument_checks import InvalidArgumentError, at_least, between, one_of
from .characters import PAD, Characters, padded
from .programs.grammar import GrammarError
from .sampling import Batch
from .task import Description, Kind

CATEGORIES = ("copy", "reverse", "double")
CURRICULA = ("maximum", "mix")
VOCABULARY = Characters("0123456789")  # digit d has id 1 + d

LONGEST = 100_000  # digits of a string
_LONGEST_ANSWER = 1_000_000


def evaluate(text: str, category: str) -> str:
    """Return the answer to a string of digits, e.g. ``evaluate("0123", "reverse") == "3210"``.

    Raises:
        GrammarError: the text is not a string of digits within balanced brackets.
        InvalidArgumentError: unknown category, or the answer exceeds a million characters.
    """
    one_of("category", category, CATEGORIES)
    digits = text.strip("()")
    opened = len(text) - len(text.lstrip("("))
    if text != "(" * opened + digits + ")" * opened or not (digits.isascii() and digits.isdigit()):
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise GrammarError(f"text must be digits, optionally in pairs of brackets, got {shown!r}")
    times = opened + 1
    if category == "copy":
        return digits
    if category == "reverse":
        return digits[::-1] if times % 2 else digits
    if times > 20 or len(digits) << times > _LONGEST_ANSWER:
        raise InvalidArgumentError(f"the answer must be at most {_LONGEST_ANSWER} characters long")
    return digits * (1 << times)


def generate(length: int, category: str, rng: random.Random) -> tuple[str, str]:
    """Return a random string of exactly ``length`` digits, no leading 0, and its answer.

    ``random.Random(seed)`` reproduces the original generator's output for ``seed``.
    """
    length = between("length", length, 1, LONGEST)
    rng.choice((category,))  # the original draws from a list with one operation
    # Through Decimal: Python refuses str() of more than 4300 digits.
    text = str(Decimal(rng.randint(10 ** (length - 1), 10**length - 1)))
    return text, evaluate(text, category)


class Memorization:
    """Batches of digit strings and their copies, reversals or doublings.

    Args:
        category: ``"copy"``, ``"reverse"`` or ``"double"``.
        length: maximum digits per string, at most 100,000.
        curriculum: ``"maximum"`` (every string has ``length`` digits, as in the test) or ``"mix"``
            (uniform from 1 to ``length``).

    Attributes:
        vocabulary: the ten digits, for inputs and targets.
        input_steps: T, equal to ``length``.
        target_steps: T_out, equal to ``length``, or ``2 * length`` for ``"double"``.

    Raises:
        InvalidArgumentError: unknown category or curriculum, or a length out of range.
    """

    def __init__(
        self, category: str = "copy", *, length: int = 10, curriculum: str = "mix"
    ) -> None:
        self.category = one_of("category", category, CATEGORIES)
        self.length = between("length", length, 1, LONGEST)
        self.curriculum = one_of("curriculum", curriculum, CURRICULA)
        self.vocabulary = VOCABULARY
        self.input_steps = length
        self.target_steps = 2 * length if category == "double" else length

    def batch(
        self,
        batch_size: int,
        generator: np.random.Generator,
        device: torch.device | str = "cpu",
    ) -> Batch:
        """Return ids ``inputs [T, B]``, ``targets [T_out, B]`` and ``input_lengths [B]``, int64."""
        B, T = at_least("batch_size", batch_size, 1), self.length
        lengths = np.full(B, T)
        if self.curriculum == "mix":
            lengths = generator.integers(1, T, B, endpoint=True)
        ids = generator.integers(0, 10, (T, B)) + 1
        ids[0] = generator.integers(1, 10, B) + 1
        inputs = np.where(np.arange(T)[:, None] < lengths, ids, PAD)  # [T, B]
        step = np.arange(2 * T if self.category == "double" else T)[:, None]  # [T_out, 1]
        backwards = np.maximum(lengths - 1 - step, 0)  # [T_out, B]
        source = backwards if self.category == "reverse" else step % lengths
        written = 2 * lengths if self.category == "double" else lengths
        targets = np.where(step < written, np.take_along_axis(inputs, source, axis=0), PAD)
        return Batch(
            padded(torch.from_numpy(inputs), self.input_steps).to(device),
            padded(torch.from_numpy(targets), self.target_steps).to(device),
            torch.from_numpy(lengths).to(device),
        )

    def sample(
        self, batch_size: int, seed: np.random.SeedSequence, device: torch.device | str = "cpu"
    ) -> Batch:
        """Return the batch determined by a seed."""
        return self.batch(batch_size, np.random.default_rng(seed), device)

    @property
    def model_sizes(self) -> dict[str, int]:
        """Number of characters, padding included."""
        return {"characters": len(self.vocabulary)}

    def describe(self, batch: Batch, answer: Tensor) -> Description:
        """Describe an example."""
        return self.vocabulary.describe(batch, answer)

    @property
    def follows_loss(self) -> bool:
        """False: the training strings are always of the same lengths."""
        return False

    def update(self, loss: float) -> bool:
        """Return False: nothing changes during training."""
        return False

    def kinds(self) -> list[Kind]:
        """Return one kind for each length, all padded to the steps of the longest."""
        return [Kind({"length": n}, self._of_length(n)) for n in range(1, self.length + 1)]

    def _of_length(self, length: int) -> "Memorization":
        task = Memorization(self.category, length=length, curriculum="maximum")
        task.input_steps, task.target_steps = self.input_steps, self.target_steps
        return task

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state: the difficulty is fixed."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the empty state."""
