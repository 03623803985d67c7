"""The tasks whose examples are generated: what they ask, and the model that answers."""

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from .fields import check_at_least
from .task import TaskConfig

DEFAULT_STEPS = 10_000


@dataclass(kw_only=True)
class GeneratedConfig(TaskConfig):
    """Any task whose examples are generated."""

    readout_layers: int = 4
    """Layers of the MLP between the core and the answer (Santoro et al. 2018, A.1)."""

    readout_size: int = 256
    """Width of that MLP."""

    readout_norm: bool = False
    """Begin that MLP with a batch norm: a plateau is left much earlier (docs/learn-faster.md). Its
    statistics are those of a micro-batch in one process."""

    eval_batch_size: int = 400
    """Examples run at once at evaluation."""

    valid_examples: int = 2_000
    """Examples in a validation."""

    test_examples: int = 12_800
    """Examples in the test (Santoro et al. 2018, A.2)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None:
            raise UserError(
                f"epochs: {self.epochs} has no meaning here, as examples never come again; "
                "it takes null; use max_steps"
            )
        validates_for = {
            "schedule: plateau": self.schedule == "plateau",
            "averaging: nt-asgd": self.averaging == "nt-asgd",
            f"patience: {self.patience}": self.patience is not None,
        }
        for what, wanted in validates_for.items():
            if wanted and self.validate_every is None:
                raise UserError(f"{what} needs validate_every: here is no epoch to validate after")
        check_at_least(self, 1, "readout_size", "valid_examples", "test_examples")
        check_at_least(self, 0, "readout_layers")
        smallest = (self.micro_batch_size or self.batch_size) // (self.devices * self.num_nodes)
        if self.readout_norm and smallest < 2:
            raise UserError("batch_size: readout_norm needs 2 examples at once in every process")

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.max_steps or DEFAULT_STEPS


@dataclass(kw_only=True)
class NthFarthestConfig(GeneratedConfig):
    """Which of the vectors is the n-th farthest from vector m?"""

    task: Literal["nth-farthest"] = "nth-farthest"
    """The task that this configuration is for."""

    objects: int = 8
    """Number of vectors."""

    features: int = 16
    """Numbers in a vector."""

    order: Literal["farthest", "nearest"] = "farthest"
    """What n counts from: the farthest vector (the paper's words), or the nearest, itself."""

    curriculum: Literal["maximum", "mix", "grow"] = "maximum"
    """How many objects the training examples have: as many as the test's; each its own number from
    2 up to it; or 3, and more as training gets along."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 2, "objects")
        check_at_least(self, 1, "features")


@dataclass(kw_only=True)
class WritingConfig(GeneratedConfig):
    """Any task that answers with a string of characters."""

    decoder_inputs: Literal["zeros", "predictions", "targets"] = "zeros"
    """What the core reads while it writes: nothing (the paper's best), its own last character, or
    in training the right one (teacher forcing)."""

    length: int = 5
    """Digits of a number, at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "length")


@dataclass(kw_only=True)
class ProgramsConfig(WritingConfig):
    """What does this program give?"""

    task: Literal["programs"] = "programs"
    """The task that this configuration is for."""

    category: Literal["addition", "control", "full", "algebra", "alg_ctrl"] = "addition"
    """Kind of programs: "+" alone; if and for; all of them; + - *; or + - and if."""

    nesting: int = 2
    """Operations in a program, at most."""

    curriculum: Literal["maximum", "naive", "mix", "combined", "grow"] = "mix"
    """How hard the training examples are: as hard as the test; rising; anything up to the test (as
    in the paper); anything up to a rising level; or any nesting with literals up to a length that
    rises when these are half learnt."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "nesting")


@dataclass(kw_only=True)
class MemorizationConfig(WritingConfig):
    """Write the string of digits that was read: as it was, backwards, or twice."""

    task: Literal["memorization"] = "memorization"
    """The task that this configuration is for."""

    category: Literal["copy", "reverse", "double"] = "copy"
    """What to do with the string."""

    curriculum: Literal["maximum", "mix"] = "mix"
    """How long the training strings are: as long as the test's, or anything up to it."""
