"""Associative recall: read pairs of a key and a value, then name the value of each key again.

Multi-query associative recall (MQAR) of Arora et al. 2023, "Zoology: Measuring and Improving Recall
in Efficient Language Models", with the distribution of its code (zoology/data/multiquery_ar.py): a
vocabulary of 8,192, and 64 steps with 4 pairs, 128 with 8, 256 with 16.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .argument_checks import InvalidArgumentError, at_least, between, one_of
from .sampling import Batch
from .task import Description, Kind

CURRICULA = ("maximum", "mix")
LONGEST = 100_000
LARGEST_VOCABULARY = 1_000_000
GAP_POWER = 0.01
"""Exponent of the power law of the gaps: step k is drawn in proportion to k^(0.01 - 1)."""


class AssociativeRecall:
    """Batches of D key-value pairs, followed by every key once more, with fillers in between.

    Of V symbols, 1 to V / 2 - 1 are keys and V / 2 to V - 1 are values. An example begins with
    ``key value key value ...``, all different. In the remaining steps, every second one may ask for
    a key: D of them do, which are drawn without replacement from a power law that prefers early
    ones. All other steps are fillers: any symbol with equal probability. The target of a query is
    the value of its key; no other step has a target.

    Args:
        vocabulary_size: V, an even number, 8 to 1,000,000.
        length: T, an even number of steps of at least ``4 * pairs``.
        pairs: D.
        curriculum: ``"maximum"``: T steps with D pairs, as in the test; ``"mix"``: each batch has
            one of :attr:`sizes`, with equal probability.

    Attributes:
        sizes: (length, pairs) halved again and again as long as both remain whole, the smallest
            first.

    Raises:
        InvalidArgumentError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        vocabulary_size: int = 8192,
        length: int = 64,
        pairs: int = 4,
        curriculum: str = "maximum",
    ) -> None:
        self.vocabulary_size = between("vocabulary_size", vocabulary_size, 8, LARGEST_VOCABULARY)
        self.length = between("length", length, 4, LONGEST)
        self.pairs = between("pairs", pairs, 1, length // 4)
        self.curriculum = one_of("curriculum", curriculum, CURRICULA)
        for name, number in (("vocabulary_size", vocabulary_size), ("length", length)):
            if number % 2:
                raise InvalidArgumentError(f"{name} must be even, got {number}")
        if pairs >= vocabulary_size // 2:
            raise InvalidArgumentError(
                f"pairs must be below half the vocabulary_size, {vocabulary_size // 2}, got {pairs}"
            )
        self.sizes = [(length, pairs)]
        while length % 4 == 0 and pairs % 2 == 0:
            length, pairs = length // 2, pairs // 2
            self.sizes.insert(0, (length, pairs))

    def batch(
        self,
        batch_size: int,
        generator: np.random.Generator,
        device: torch.device | str = "cpu",
    ) -> Batch:
        """Return ``inputs [T, B, 2]``, ``targets [D, B]`` and ``input_lengths [B]``, int64.

        The inputs of a step are its symbol, and 1 where an answer is due, else 0. The model does
        not read the second number. The targets are in the order of the queries.
        """
        B, half = at_least("batch_size", batch_size, 1), self.vocabulary_size // 2
        T, D = self.length, self.pairs
        keys = 1 + distinct(half - 1, D, B, generator)  # [D, B]
        values = half + distinct(half, D, B, generator)
        symbols = generator.integers(0, self.vocabulary_size, (T, B))
        symbols[0 : 2 * D : 2], symbols[1 : 2 * D : 2] = keys, values
        places = 2 * D + 2 * gaps((T - 2 * D) // 2, D, B, generator)  # [D, B]
        np.put_along_axis(symbols, places, keys, axis=0)
        asked = np.zeros_like(symbols)
        np.put_along_axis(asked, places, 1, axis=0)
        targets = np.take_along_axis(values, places.argsort(axis=0), axis=0)
        return Batch(
            torch.from_numpy(np.stack([symbols, asked], axis=-1)).to(device),
            torch.from_numpy(targets).to(device),
            torch.full((B,), T, device=device),
        )

    def sample(
        self, batch_size: int, seed: np.random.SeedSequence, device: torch.device | str = "cpu"
    ) -> Batch:
        """Return the batch determined by a seed."""
        generator = np.random.default_rng(seed)
        if self.curriculum == "maximum":
            return self.batch(batch_size, generator, device)
        task = self._of_size(*self.sizes[generator.integers(len(self.sizes))])
        return task.batch(batch_size, generator, device)

    @property
    def model_sizes(self) -> dict[str, int]:
        """Number of symbols; the answers are symbols too."""
        return {"symbols": self.vocabulary_size}

    @property
    def follows_loss(self) -> bool:
        """False: the sizes of the training examples do not depend on the loss."""
        return False

    def update(self, loss: float) -> bool:
        """Return False: nothing changes during training."""
        return False

    def kinds(self) -> list[Kind]:
        """Return one kind for each of :attr:`sizes`."""
        return [
            Kind({"length": length, "pairs": pairs}, self._of_size(length, pairs))
            for length, pairs in self.sizes
        ]

    def _of_size(self, length: int, pairs: int) -> "AssociativeRecall":
        return AssociativeRecall(vocabulary_size=self.vocabulary_size, length=length, pairs=pairs)

    def describe(self, batch: Batch, answer: Tensor) -> Description:
        """Describe an example: its symbols, with the queries marked, and the last answer."""
        symbols, asked = batch.inputs[:, 0].unbind(-1)  # [T] each
        right = int((answer == batch.targets).sum())
        title = (
            f"{right} of {len(batch.targets)} values recalled; the last: "
            f"answer {int(answer[-1, 0])}, correct {int(batch.targets[-1, 0])}"
        )
        pairs = zip(symbols.tolist(), asked.tolist(), strict=True)
        return Description(title, [f"{symbol}{'?' if due else ''}" for symbol, due in pairs])

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state: the difficulty is fixed."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the empty state."""


def distinct(
    most: int, count: int, columns: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw ``[count, columns]`` numbers from 0 to ``most - 1``, all different within a column.

    Every ordered choice has the same probability. Time and memory do not depend on ``most``.
    """
    drawn = np.empty((count, columns), dtype=np.int64)
    for row in range(count):
        number = generator.integers(0, most - row, columns)
        for taken in np.sort(drawn[:row], axis=0):  # skip over the numbers already taken
            number += number >= taken
        drawn[row] = number
    return drawn


def gaps(space: int, count: int, columns: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``[count, columns]`` of the places 0 to ``space - 1`` by the power law of the gaps.

    Successive draws without replacement: the places with the largest sums of their log-probability
    and Gumbel noise.
    """
    weights = np.log(np.arange(1, space + 1)) * (GAP_POWER - 1)
    noisy = weights[:, None] + generator.gumbel(size=(space, columns))
    return (-noisy).argsort(axis=0)[:count]
