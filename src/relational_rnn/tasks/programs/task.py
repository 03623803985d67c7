"""The program evaluation task: batches of programs and their answers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..argument_checks import at_least, between, one_of
from ..characters import padded
from ..sampling import Batch
from ..task import Description, Kind
from .batched_generator import VOCABULARY, sample_programs
from .curriculum import Curriculum
from .generator import CATEGORIES, DEEPEST, LONGEST, longest_program


class Programs:
    """Short programs, read character by character, and their answers (Santoro et al. 2018, 4.1).

    Args:
        category: ``"addition"``, ``"control"``, ``"full"``, ``"algebra"`` or ``"alg_ctrl"``.
        length: maximum digits per literal, at most 1,000.
        nesting: maximum operations per program, at most 10,000.
        curriculum: ``"maximum"`` (always the maximum, as in the test), ``"naive"``, ``"mix"`` (the
            paper's training), ``"combined"``, ``"grow"`` or ``"frontier"``; see
            :class:`Curriculum`.

    Attributes:
        vocabulary: the characters of inputs and targets.
        input_steps: T, characters of the longest program.
        target_steps: T_out, characters of the longest answer, ``length + 1``.
        curriculum: raises the difficulty in ``update(loss)``.

    Raises:
        InvalidArgumentError: unknown category or curriculum, or a length or nesting out of range.
    """

    def __init__(
        self, category: str = "full", *, length: int = 5, nesting: int = 2, curriculum: str = "mix"
    ) -> None:
        self.category = one_of("category", category, CATEGORIES)
        self.length = between("length", length, 1, LONGEST)
        self.nesting = between("nesting", nesting, 1, DEEPEST)
        loops = "for" in CATEGORIES[category]
        self.curriculum = Curriculum(curriculum, length, nesting, loops=loops)
        self.vocabulary = VOCABULARY
        self.input_steps = longest_program(length, nesting, CATEGORIES[category])
        self.target_steps = length + 1

    def batch(
        self,
        batch_size: int,
        generator: np.random.Generator,
        device: torch.device | str = "cpu",
    ) -> Batch:
        """Return ids ``inputs [T, B]``, ``targets [T_out, B]`` and ``input_lengths [B]``, int64."""
        batch_size = at_least("batch_size", batch_size, 1)
        lengths, nestings = self.curriculum.levels(batch_size, generator)
        programs, program_lengths, answers = sample_programs(
            lengths,
            nestings,
            CATEGORIES[self.category],
            generator,
            max_length=self.length,
            max_nesting=self.nesting,
            counts=self.curriculum.counts,
        )
        return Batch(
            padded(torch.from_numpy(np.ascontiguousarray(programs.T)), self.input_steps).to(device),
            padded(torch.from_numpy(np.ascontiguousarray(answers.T)), self.target_steps).to(device),
            torch.from_numpy(program_lengths).to(device),
        )

    def sample(
        self, batch_size: int, seed: np.random.SeedSequence, device: torch.device | str = "cpu"
    ) -> Batch:
        """Return the batch determined by a seed and the current level of the curriculum."""
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
        """Whether the curriculum rises with the losses."""
        return self.curriculum.grows

    def update(self, loss: float) -> bool:
        """Record a training loss; return whether the programs are harder from now on."""
        return self.curriculum.update(loss)

    def kinds(self) -> list[Kind]:
        """Return one kind for each nesting and length, all padded to the steps of the longest."""
        return [
            Kind({"nesting": nesting, "length": length}, self._of_level(nesting, length))
            for nesting in range(1, self.nesting + 1)
            for length in range(1, self.length + 1)
        ]

    def _of_level(self, nesting: int, length: int) -> "Programs":
        task = Programs(self.category, length=length, nesting=nesting, curriculum="maximum")
        task.input_steps, task.target_steps = self.input_steps, self.target_steps
        return task

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the curriculum."""
        return self.curriculum.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the curriculum."""
        self.curriculum.load_state_dict(state)
