"""How a model is trained; the same fields for every task."""

from dataclasses import dataclass
from typing import Literal

from .fields import check, check_at_least, check_positive, check_probability


@dataclass(kw_only=True)
class TrainingConfig:
    """Training."""

    name: str = ""
    """Name of this configuration; given by its file."""

    seed: int = 1
    """Seed of the initial weights, of dropout and of everything else drawn at random."""

    epochs: int | None = None
    """Passes over the training data; null: 10, or as many as max_steps takes."""

    max_steps: int | None = None
    """Number of optimizer steps to train for at most; null: as many as the epochs have."""

    batch_size: int = 32
    """Streams (or examples) in a batch, over all processes together."""

    micro_batch_size: int | None = None
    """Part of the batch to hold in memory at once, over all processes; null: the whole batch."""

    eval_batch_size: int = 32
    """Streams in a batch at evaluation."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    """Optimizer; adamw decays weights apart from the gradient (Loshchilov and Hutter 2019)."""

    learning_rate: float = 1e-3
    """Highest learning rate."""

    betas: tuple[float, float] = (0.9, 0.999)
    """adam, adamw: decay of the running averages of the gradient and of its square."""

    momentum: float = 0.0
    """sgd: momentum."""

    weight_decay: float = 0.0
    """Weight decay: on matrices alone for adamw, on all weights as an L2 penalty for the others."""

    clip: float | None = 0.25
    """Largest norm of the gradient (Pascanu et al. 2013); null: no clipping."""

    schedule: Literal["constant", "plateau", "cosine", "one-cycle"] = "constant"
    """Course of the learning rate: constant, lowered when validation no longer improves,
    a half cosine (Loshchilov and Hutter 2017), or one cycle up and down, of the rate alone
    (Smith 2018)."""

    warmup_steps: int = 0
    """Steps in which the learning rate rises linearly from 0."""

    final_fraction: float = 0.0
    """cosine, one-cycle: the last learning rate as a fraction of the highest."""

    plateau_factor: float = 0.5
    """plateau: factor by which the learning rate is lowered."""

    plateau_patience: int = 0
    """plateau: validations without improvement that are borne before it is lowered."""

    patience: int | None = None
    """Stop after this many validations in a row without improvement; null: never."""

    averaging: Literal["none", "ema", "nt-asgd"] = "none"
    """Evaluate and keep averaged weights: an exponential average (Polyak and Juditsky 1992), or
    the plain average from when validation no longer improves on (Merity et al. 2018, 3)."""

    ema_decay: float = 0.999
    """ema: decay of the average in one step; it reaches back over 1 / (1 - decay) steps or some
    more, and begins with the weights of the first, so that a short run takes a lower one."""

    nonmono: int = 5
    """nt-asgd: the average starts at a validation worse than the best of those before the last
    ``nonmono`` ones."""

    validate_every: int | None = None
    """Steps from one validation to the next; null: an epoch."""

    checkpoint_every: int | None = None
    """Steps from one checkpoint to the next, beside those at each validation; null: only those."""

    log_every: int = 50
    """Steps from one row of metrics.csv to the next."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute."""

    devices: int = 1
    """Number of processes on each machine, one for each device."""

    num_nodes: int = 1
    """Number of machines."""

    precision: Literal["32", "bf16-mixed"] = "32"
    """float32, or products in bfloat16 with everything else in float32. A CPU without bfloat16
    products takes float32 for both, and the run's summary says so."""

    def __post_init__(self) -> None:
        check_at_least(
            self,
            1,
            "max_steps",
            "batch_size",
            "micro_batch_size",
            "eval_batch_size",
            "patience",
            "nonmono",
            "validate_every",
            "checkpoint_every",
            "log_every",
            "devices",
            "num_nodes",
            "epochs",
        )
        check_at_least(self, 0, "weight_decay", "warmup_steps", "plateau_patience")
        check(self, "seed", 0 <= self.seed < 2**32, "an integer in [0, 2**32)")
        check_positive(self, "learning_rate", "clip")
        check_probability(self, "momentum", "ema_decay")
        check(self, "betas", all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)")
        check(self, "final_fraction", 0 <= self.final_fraction <= 1, "a number in [0, 1]")
        rises = self.schedule == "one-cycle"
        check(self, "warmup_steps", not (rises and self.warmup_steps), "0 with schedule one-cycle")
        check(self, "plateau_factor", 0 < self.plateau_factor < 1, "a number in (0, 1)")
        micro = self.micro_batch_size or self.batch_size
        check(self, "micro_batch_size", self.batch_size % micro == 0, "a divisor of batch_size")
        processes = self.devices * self.num_nodes
        check(
            self,
            "batch_size",
            micro % processes == 0,
            f"a number whose micro-batches divide evenly over {processes} processes",
        )

    def without_effect(self) -> dict[str, str]:
        """Fields that change nothing in this configuration, each with the reason."""
        unused: dict[str, str] = {}
        needed = {
            "betas": ("optimizer", ("adam", "adamw")),
            "momentum": ("optimizer", ("sgd",)),
            "final_fraction": ("schedule", ("cosine", "one-cycle")),
            "plateau_factor": ("schedule", ("plateau",)),
            "plateau_patience": ("schedule", ("plateau",)),
            "ema_decay": ("averaging", ("ema",)),
            "nonmono": ("averaging", ("nt-asgd",)),
        }
        for name, (decider, values) in needed.items():
            if getattr(self, decider) not in values:
                unused[name] = f"{decider} is {getattr(self, decider)}"
        return unused
