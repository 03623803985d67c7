"""The tasks whose examples are generated: what they ask, and the model that answers."""

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from .fields import BATCH, EXAMPLES, LAYERS, STEPS, WIDTH, option
from .training import TaskConfig

DEFAULT_STEPS = 10_000


@dataclass(kw_only=True)
class GeneratedConfig(TaskConfig):
    """Any task whose examples are generated."""

    epochs: int | None = option(
        None, at_least=1, limit=STEPS, group="optimisation", resumable=True, prominent=True
    )
    """Must be null: generated examples never repeat; use max_steps."""

    validate_every: int | None = option(None, at_least=1, limit=STEPS, group="run")
    """Steps between validations; null: only one, after the last step."""

    readout_layers: int = option(4, at_least=0, limit=LAYERS, group="model", decides="model")
    """Hidden layers of the MLP between the core and the answer (Santoro et al. 2018, A.1)."""

    readout_size: int = option(256, at_least=1, limit=WIDTH, group="model", decides="model")
    """Width of that MLP."""

    readout_norm: bool = option(False, group="model", decides="model")
    """Start that MLP with a batch norm, which shortens plateaus (see docs/learn-faster.md). Its
    statistics are per micro-batch and process."""

    auxiliary: float = option(
        0.0, at_least=0, only=("task", "nth-farthest", "programs"), group="optimisation"
    )
    """Weight of the loss of training-only heads that find, after each step, what the memory should
    hold: of nth-farthest, the distances from m; of programs, the value so far (see
    docs/learn-faster.md)."""

    eval_batch_size: int = option(400, at_least=1, limit=BATCH, group="run")
    """Examples in a batch in evaluation."""

    valid_examples: int = option(2_000, at_least=1, limit=EXAMPLES, group="data")
    """Examples in the validation set."""

    test_examples: int = option(12_800, at_least=1, limit=EXAMPLES, group="data")
    """Examples in the test set (Santoro et al. 2018, A.2)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None:
            raise UserError(
                f"epochs: must be null, got {self.epochs}: generated examples never repeat; "
                "use max_steps"
            )
        validates_for = {
            "schedule: plateau": self.schedule == "plateau",
            "averaging: nt-asgd": self.averaging == "nt-asgd",
            f"patience: {self.patience}": self.patience is not None,
        }
        for what, wanted in validates_for.items():
            if wanted and self.validate_every is None:
                raise UserError(
                    f"{what} needs validate_every: this task has no epochs to validate after"
                )
        if self.auxiliary and (problem := self.why_no_auxiliary()):
            raise UserError(f"auxiliary: must be 0, got {self.auxiliary}: {problem}")
        smallest = (self.micro_batch_size or self.batch_size) // (self.devices * self.num_nodes)
        if self.readout_norm and smallest < 2:
            raise UserError("batch_size: readout_norm needs at least 2 examples in every process")

    def why_no_auxiliary(self) -> str | None:
        """Why this task has no auxiliary heads; None if it has."""
        return None

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training."""
        return self.max_steps or DEFAULT_STEPS


@dataclass(kw_only=True)
class NthFarthestConfig(GeneratedConfig):
    """Which of the vectors is the n-th farthest from vector m?"""

    task: Literal["nth-farthest"] = option("nth-farthest", decides="task")
    """Task of this configuration."""

    objects: int = option(8, at_least=2, limit=1_000, group="data", decides="task")
    """Number of vectors."""

    features: int = option(16, at_least=1, limit=10_000, group="data", decides="task")
    """Size of a vector."""

    order: Literal["farthest", "nearest"] = option("farthest", group="data", decides="task")
    """What n counts from. farthest: n = 0 is the vector farthest from m (as in the paper's text);
    nearest: n = 0 is m itself."""

    curriculum: Literal["maximum", "mix", "grow"] = option("maximum", group="data")
    """Number of objects in the training examples. maximum: as many as in the test; mix: uniform
    from 2 to that number; grow: 3 at first, of at most 4 features, and more of both as the training
    loss falls."""


@dataclass(kw_only=True)
class WritingConfig(GeneratedConfig):
    """Any task that answers with a string of characters."""

    decoder_inputs: Literal["zeros", "predictions", "targets"] = option("zeros", group="model")
    """Input of the core while it writes. zeros: nothing (the paper's best); predictions: its own
    last character; targets: in training, the right last character (teacher forcing)."""

    length: int = option(5, at_least=1, limit=1_000, group="data", decides="task")
    """Largest number of digits of a number, or of the string."""


@dataclass(kw_only=True)
class ProgramsConfig(WritingConfig):
    """What is the output of this program?"""

    task: Literal["programs"] = option("programs", decides="task")
    """Task of this configuration."""

    category: Literal["addition", "control", "full", "algebra", "alg_ctrl"] = option(
        "addition", group="data", decides="task"
    )
    """Kind of programs. addition: + alone; control: if and for; full: all operations; algebra:
    + - and *; alg_ctrl: + - and if."""

    nesting: int = option(2, at_least=1, limit=1_000, group="data", decides="task")
    """Largest number of operations in a program."""

    curriculum: Literal["maximum", "naive", "mix", "combined", "grow", "frontier"] = option(
        "mix", group="data"
    )
    """Difficulty of the training examples. maximum: the test's; naive: a rising level; mix: uniform
    up to the test's level (as in the paper); combined: uniform up to a rising level; grow: any
    nesting, with literals up to a length that rises when the loss is below 0.5 nats per
    character; frontier: as grow, but four fifths of the programs have that length, and it rises
    below 0.2; then the loops, which have run once so far, run up to 2, 3 and 9 times."""

    def why_no_auxiliary(self) -> str | None:
        """Why this task has no auxiliary heads; None if it has."""
        return "length must be at most 8 for this" if self.length > 8 else None


@dataclass(kw_only=True)
class MemorizationConfig(WritingConfig):
    """Write the string of digits that was read: as it was, backwards, or twice."""

    task: Literal["memorization"] = option("memorization", decides="task")
    """Task of this configuration."""

    category: Literal["copy", "reverse", "double"] = option("copy", group="data", decides="task")
    """What to do with the string. copy: write it; reverse: write it backwards; double: write it
    twice."""

    curriculum: Literal["maximum", "mix"] = option("mix", group="data")
    """Length of the training strings. maximum: as in the test; mix: uniform from 1 to that
    length."""

    def why_no_auxiliary(self) -> str | None:
        """Why this task has no auxiliary heads; None if it has."""
        return "memorization has no auxiliary heads"


@dataclass(kw_only=True)
class TaggingConfig(GeneratedConfig):
    """Any task that answers at some or all steps of a sequence of symbols."""

    embedding_size: int = option(64, at_least=1, limit=WIDTH, group="model", decides="model")
    """Width of the embedding of a symbol."""

    def why_no_auxiliary(self) -> str | None:
        """Why this task has no auxiliary heads; None if it has."""
        return f"{self.task} has no auxiliary heads"


@dataclass(kw_only=True)
class StateTrackingConfig(TaggingConfig):
    """What is the product of all group elements read so far?"""

    task: Literal["state-tracking"] = option("state-tracking", decides="task")
    """Task of this configuration."""

    group: Literal["parity", "modular-addition", "s3", "a5", "s5"] = option(
        "parity", group="data", decides="task"
    )
    """What is read. parity: bits; modular-addition: numbers below the modulus; s3, s5:
    permutations of 3 and 5 items; a5: even permutations of 5 items."""

    modulus: int = option(
        5,
        at_least=2,
        limit=1_000,
        group="data",
        only=("group", "modular-addition"),
        decides="task",
    )
    """Modulus of the sum."""

    length: int = option(256, at_least=1, limit=10_000, group="data", decides="task")
    """Steps of an example in validation and test."""

    train_length: int = option(40, at_least=1, limit=10_000, group="data", decides="task")
    """Steps of a training example with the curriculum short (Grazzi et al. 2024)."""

    curriculum: Literal["maximum", "short"] = option("short", group="data")
    """Steps of a training example. maximum: as in the test; short: train_length."""


@dataclass(kw_only=True)
class AssociativeRecallConfig(TaggingConfig):
    """Which value followed this key?"""

    task: Literal["associative-recall"] = option("associative-recall", decides="task")
    """Task of this configuration."""

    vocabulary_size: int = option(8192, at_least=8, limit=1_000_000, group="data", decides="task")
    """Number of symbols: half of them are keys, half values (Arora et al. 2023)."""

    length: int = option(64, at_least=4, limit=10_000, group="data", decides="task")
    """Steps of an example, at least four times the pairs."""

    pairs: int = option(4, at_least=1, limit=2_500, group="data", decides="task")
    """Pairs of a key and a value in an example."""

    curriculum: Literal["maximum", "mix"] = option("maximum", group="data")
    """Sizes of the training examples. maximum: as in the test; mix: length and pairs halved again
    and again, a size drawn for each batch."""
