"""State tracking: the product of all group elements read so far.

The word problem of a finite group, with a target at every step (Merrill et al. 2024, "The Illusion
of State in State-Space Models"). Training on 40 steps and testing on 256 follows the experiments on
parity and modular addition of Grazzi et al. 2024, "Unlocking State-Tracking in Linear RNNs Through
Negative Eigenvalues".
"""

from collections.abc import Sequence
from functools import cache
from itertools import permutations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .argument_checks import at_least, between, one_of
from .sampling import Batch
from .task import NOT_SCORED, Description, Kind

GROUPS = ("parity", "modular-addition", "s3", "a5", "s5")
CURRICULA = ("maximum", "short")
PERMUTED = {"s3": 3, "a5": 5, "s5": 5}
"""How many items each permutation group permutes."""

LONGEST = 100_000
LARGEST_MODULUS = 1_000


def elements(group: str, modulus: int = 5) -> list[tuple[int, ...]]:
    """The elements of a group in the order of their numbers; number 0 is the identity.

    A permutation is the tuple of the positions that the items 0, 1, ... move to, in lexicographic
    order. An element of ``"parity"`` or ``"modular-addition"`` is a tuple of one number.
    """
    if group in PERMUTED:
        every = permutations(range(PERMUTED[group]))
        return [each for each in every if group != "a5" or _is_even(each)]
    return [(number,) for number in range(2 if group == "parity" else modulus)]


def products(group: str, modulus: int = 5) -> NDArray[np.int64]:
    """The multiplication table ``[E, E]`` of a group with E elements.

    ``products(group)[a, b]`` is the number of the element "first a, then b": the sum of the two
    numbers, or the permutation that moves item i to ``b[a[i]]``.
    """
    return _products(group, 2 if group == "parity" else modulus)


@cache
def _products(group: str, modulus: int) -> NDArray[np.int64]:
    members = elements(group, modulus)
    if group not in PERMUTED:
        numbers = np.arange(len(members))
        return (numbers[:, None] + numbers) % len(members)
    number = {member: index for index, member in enumerate(members)}
    table = [[number[tuple(b[i] for i in a)] for b in members] for a in members]
    return np.array(table, dtype=np.int64)


def _is_even(permutation: Sequence[int]) -> bool:
    pairs = ((a, b) for at, a in enumerate(permutation) for b in permutation[at + 1 :])
    return sum(a > b for a, b in pairs) % 2 == 0


class StateTracking:
    """Batches of random group elements; the target of a step is the product of all up to it.

    Every element, the identity included, is read with the same probability. Position t has the
    target ``product(x[0], ..., x[t])``, so that an example trains every length up to its own.

    Args:
        group: ``"parity"`` (the sum of bits modulo 2), ``"modular-addition"`` (the sum of numbers
            below the modulus), or the permutations ``"s3"`` (6 elements), ``"a5"`` (60, the even
            ones of five items) and ``"s5"`` (120).
        modulus: of ``"modular-addition"``, 2 to 1,000; the others ignore it.
        length: steps of a test example, 1 to 100,000.
        train_length: steps of a training example with the curriculum ``"short"``, at most
            ``length``.
        curriculum: ``"maximum"``: ``length`` steps, as in the test; ``"short"``: ``train_length``.

    Attributes:
        steps: T, steps of an example.
        scored_from: index of the first step that has a target; the steps before it have
            ``NOT_SCORED``.
        table: ``[E, E]``, see :func:`products`.

    Raises:
        InvalidArgumentError: an argument is out of range.
    """

    def __init__(
        self,
        group: str = "parity",
        *,
        modulus: int = 5,
        length: int = 256,
        train_length: int = 40,
        curriculum: str = "short",
    ) -> None:
        self.group = one_of("group", group, GROUPS)
        self.modulus = between("modulus", modulus, 2, LARGEST_MODULUS)
        self.length = between("length", length, 1, LONGEST)
        self.train_length = between("train_length", train_length, 1, self.length)
        self.curriculum = one_of("curriculum", curriculum, CURRICULA)
        self.steps = length if curriculum == "maximum" else train_length
        self.scored_from = 0
        self.table = products(group, modulus)

    def batch(
        self,
        batch_size: int,
        generator: np.random.Generator,
        device: torch.device | str = "cpu",
    ) -> Batch:
        """Return ids ``inputs [T, B]``, ``targets [T, B]`` and ``input_lengths [B]``, int64."""
        B, T = at_least("batch_size", batch_size, 1), self.steps
        inputs = generator.integers(0, len(self.table), (T, B))
        targets = inputs.copy()
        for step in range(1, T):
            targets[step] = self.table[targets[step - 1], inputs[step]]
        targets[: self.scored_from] = NOT_SCORED
        return Batch(
            torch.from_numpy(inputs).to(device),
            torch.from_numpy(targets).to(device),
            torch.full((B,), T, device=device),
        )

    def sample(
        self, batch_size: int, seed: np.random.SeedSequence, device: torch.device | str = "cpu"
    ) -> Batch:
        """Return the batch determined by a seed."""
        return self.batch(batch_size, np.random.default_rng(seed), device)

    @property
    def model_sizes(self) -> dict[str, int]:
        """Number of elements that can be read, and of states to tell apart."""
        return {"symbols": len(self.table), "classes": len(self.table)}

    @property
    def follows_loss(self) -> bool:
        """False: the training examples are always of the same length."""
        return False

    def update(self, loss: float) -> bool:
        """Return False: nothing changes during training."""
        return False

    def kinds(self) -> list[Kind]:
        """Return one kind for each range of steps, by its last one.

        The ranges end at half the training length, the training length, its doublings, and the
        length of the test.
        """
        ends = {self.length}
        end = max(1, self.train_length // 2)
        while end < self.length:
            ends.add(end)
            end = self.train_length if end < self.train_length else 2 * end
        starts = [0, *sorted(ends)[:-1]]
        return [
            Kind({"length": end}, self._scoring(start, end))
            for start, end in zip(starts, sorted(ends), strict=True)
        ]

    def _scoring(self, start: int, end: int) -> "StateTracking":
        """The same task with ``end`` steps, of which those from ``start`` on have a target."""
        task = StateTracking(
            self.group,
            modulus=self.modulus,
            length=end,
            train_length=min(self.train_length, end),
            curriculum="maximum",
        )
        task.scored_from = start
        return task

    def describe(self, batch: Batch, answer: Tensor) -> Description:
        """Describe an example: the elements in order, and the last state."""
        names = [_name(element) for element in elements(self.group, self.modulus)]
        title = (
            f"{self.group}, the state after {len(batch.inputs)} steps: "
            f"answer {names[int(answer[-1, 0])]}, correct {names[int(batch.targets[-1, 0])]}"
        )
        return Description(title, [names[number] for number in batch.inputs[:, 0].tolist()])

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state: the difficulty is fixed."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the empty state."""


def _name(element: tuple[int, ...]) -> str:
    """A number, or a permutation in one word: "(1, 0, 2)" is "102"."""
    return "".join(map(str, element))
