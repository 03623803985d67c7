"""How a model is trained; the same fields for every task."""

from dataclasses import MISSING, dataclass
from typing import Literal

from .core import CoreConfig
from .fields import BATCH, STEPS, Config, must_be, option


@dataclass(kw_only=True)
class TrainingConfig(Config):
    """Training."""

    name: str = option("")
    """Name of this configuration; given by its file."""

    seed: int = option(1, at_least=0, below=2**32, group="run", prominent=True)
    """Seed of all random numbers."""

    start: str | None = option(None, group="run")
    """Run or shipped model, of the same model, whose weights training starts from; null: random."""

    epochs: int | None = option(
        None, at_least=1, limit=STEPS, group="optimisation", resumable=True, prominent=True
    )
    """Passes over the training text; null: 10, or as many as max_steps needs."""

    max_steps: int | None = option(
        None, at_least=1, limit=STEPS, group="optimisation", resumable=True, prominent=True
    )
    """Optimizer steps; null: those of the epochs, or 10,000 for generated tasks."""

    batch_size: int = option(32, at_least=1, limit=BATCH, group="optimisation", prominent=True)
    """Streams (or examples) in a batch, over all processes together."""

    micro_batch_size: int | None = option(None, at_least=1, limit=BATCH, group="optimisation")
    """Part of the batch to hold in memory at once, over all processes; null: the whole batch."""

    eval_batch_size: int = option(32, at_least=1, limit=BATCH, group="run")
    """Streams in a batch in evaluation."""

    optimizer: Literal["adam", "adamw", "muon", "sgd"] = option("adamw", group="optimisation")
    """Optimizer: adamw decouples weight decay from the gradient (Loshchilov and Hutter 2019); muon
    makes the updates of hidden matrices orthogonal (Jordan 2024), with adamw for the rest."""

    learning_rate: float = option(1e-3, above=0, group="optimisation", prominent=True)
    """Highest learning rate."""

    betas: tuple[float, float] = option(
        (0.9, 0.999),
        at_least=0,
        below=1,
        group="optimisation",
        only=("optimizer", "adam", "adamw", "muon"),
    )
    """Decay of the running averages of the gradient and of its square."""

    muon_rms: float = option(0.2, above=0, group="optimisation", only=("optimizer", "muon"))
    """Root mean square of the updates of hidden matrices, in units of the learning rate."""

    momentum: float = option(
        0.0, at_least=0, below=1, group="optimisation", only=("optimizer", "sgd")
    )
    """Momentum."""

    weight_decay: float = option(0.0, at_least=0, group="optimisation")
    """Weight decay: on matrices alone for adamw and muon, on all weights as an L2 penalty for the
    others."""

    clip: float | None = option(0.25, above=0, group="optimisation")
    """Largest norm of the gradient (Pascanu et al. 2013); null: no clipping."""

    schedule: Literal["constant", "plateau", "cosine", "one-cycle", "trapezoid"] = option(
        "constant", group="optimisation"
    )
    """Learning rate schedule: constant, lowered when validation stops improving, a half cosine
    (Loshchilov and Hutter 2017), one cycle up and down, of the rate alone (Smith 2018), or
    constant with a linear fall in the last fifth of the steps (Zhai et al. 2022)."""

    warmup_steps: int = option(0, at_least=0, limit=STEPS, group="optimisation")
    """Steps in which the learning rate rises linearly from 0."""

    final_fraction: float = option(
        0.0,
        at_least=0,
        at_most=1,
        group="optimisation",
        only=("schedule", "cosine", "one-cycle", "trapezoid"),
    )
    """The last learning rate as a fraction of the highest."""

    plateau_factor: float = option(
        0.5, above=0, below=1, group="optimisation", only=("schedule", "plateau")
    )
    """Factor by which the learning rate is lowered."""

    plateau_patience: int = option(
        0, at_least=0, limit=STEPS, group="optimisation", only=("schedule", "plateau")
    )
    """Validations without improvement before the learning rate is lowered."""

    patience: int | None = option(None, at_least=1, limit=STEPS, group="optimisation")
    """Early stopping: stop after this many validations without improvement; null: never."""

    averaging: Literal["none", "ema", "nt-asgd"] = option("none", group="optimisation")
    """Evaluate and keep averaged weights: an exponential average (Polyak and Juditsky 1992), or
    the plain average from the validation that stops improving (Merity et al. 2018, 3)."""

    ema_decay: float = option(
        0.999, at_least=0, below=1, group="optimisation", only=("averaging", "ema")
    )
    """Decay of the average in one step. It spans roughly 1 / (1 - decay) steps and starts with
    the weights of the first, so a short run needs a lower decay."""

    nonmono: int = option(
        5, at_least=1, limit=STEPS, group="optimisation", only=("averaging", "nt-asgd")
    )
    """The average starts at a validation worse than the best of those before the last
    nonmono ones."""

    validate_every: int | None = option(None, at_least=1, limit=STEPS, group="run")
    """Steps between validations; null: an epoch."""

    checkpoint_every: int | None = option(
        None, at_least=1, limit=STEPS, group="run", resumable=True
    )
    """Steps between checkpoints in addition to the one at each validation; null: only those."""

    log_every: int = option(50, at_least=1, limit=STEPS, group="run", resumable=True)
    """Steps between rows of metrics.csv."""

    device: Literal["auto", "cpu", "cuda", "mps"] = option(
        "auto", group="run", resumable=True, prominent=True
    )
    """Device to compute on."""

    devices: int = option(1, at_least=1, limit=1_024, group="run", resumable=True)
    """Number of processes on each machine, one for each device."""

    num_nodes: int = option(1, at_least=1, limit=10_000, group="run", resumable=True)
    """Number of machines."""

    precision: Literal["32", "bf16-mixed"] = option("32", group="run")
    """float32, or matrix products in bfloat16 and everything else in float32. A CPU without
    bfloat16 products uses float32 for both, and the run's summary records it."""

    threads: int | None = option(
        None, at_least=1, limit=1_024, group="run", resumable=True, prominent=True
    )
    """CPU threads of PyTorch; null: chosen by the size of the core."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule == "one-cycle" and self.warmup_steps:
            raise must_be("warmup_steps", "0 with schedule one-cycle", self.warmup_steps)
        micro = self.micro_batch_size or self.batch_size
        if self.batch_size % micro:
            raise must_be("micro_batch_size", "a divisor of batch_size", micro)
        processes = self.devices * self.num_nodes
        if micro % processes:
            wanted = f"a number whose micro-batches divide evenly over {processes} processes"
            raise must_be("batch_size", wanted, self.batch_size)


TASKS: dict[str, "type[TaskConfig]"] = {}
"""The configuration class of each task: every subclass of :class:`TaskConfig` that names one."""


@dataclass(kw_only=True)
class TaskConfig(TrainingConfig, CoreConfig):
    """Any task: a subclass that gives ``task`` a default is found under that name."""

    task: str = option(MISSING, decides="task")
    """Task of this configuration."""

    def __init_subclass__(cls) -> None:
        if "task" in vars(cls):
            TASKS[vars(cls)["task"].default] = cls
