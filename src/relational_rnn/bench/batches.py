"""Whether training waits for its examples: making a batch compared with training on it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch.nn.functional import cross_entropy

from ..config import GeneratedConfig, load, shipped
from ..registry import build_task, build_task_model, is_generated
from ..tasks.sampling import Batch, BatchSource
from .measurement import Measurement, Progress
from .tables import number, one_table, ratio, text
from .timing import Stop, interleave, timed

STOP = Stop(seconds=1.0, least=2, most=30)
LARGEST_SHARE = 0.05  # of a training step


class GeneratedTraining:
    """Training on a generated task: its batches, and a step of its model."""

    def __init__(self, config: GeneratedConfig) -> None:
        torch.manual_seed(config.seed)
        self.source = BatchSource(
            build_task(config, training=True),
            batch_size=config.batch_size,
            batches=2**30,
            seed=config.seed,
        )
        self.model = build_task_model(config)
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self.made = 0
        self.batch: Batch
        self.make_batch()
        self.step()

    def make_batch(self) -> None:
        """Make the next batch."""
        self.batch = self.source.batch(self.made)
        self.made += 1

    def step(self) -> None:
        """A training step on the last batch."""
        inputs, targets, lengths = self.batch
        logits = self.model(inputs, lengths, targets)
        loss = cross_entropy(
            logits.flatten(0, -2), targets.flatten(), ignore_index=self.model.padding
        )
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()


def configurations() -> list[GeneratedConfig]:
    """The shipped configurations of generated tasks."""
    loaded = [load(name) for name in shipped()]
    return [cast(GeneratedConfig, config) for config in loaded if is_generated(config)]


def measure(
    configs: Sequence[GeneratedConfig] | None = None, *, stop: Stop = STOP, progress: Progress
) -> dict[str, Any]:
    """Time a batch and a training step of each configuration, in this process.

    Args:
        configs: all shipped ones by default.
        stop: when a configuration has enough samples.
        progress: called with what is being measured.

    Returns:
        batches (number of configurations), rows and ratios.
    """
    configs = configurations() if configs is None else configs
    rows = []
    for config in configs:
        subject = GeneratedTraining(config)
        cells = {"batch": partial(timed, subject.make_batch), "step": partial(timed, subject.step)}
        progress(config.name)
        good, bad = interleave(cells, stop)
        row: dict[str, Any] = {"row": config.name, "batch_size": config.batch_size}
        if bad:
            row["error"] = next(iter(bad.values()))
        else:
            batch, step = good["batch"].median, good["step"].median
            row |= {"batch_ms": batch * 1e3, "step_ms": step * 1e3, "batch_share": batch / step}
        rows.append(row)
    shares = {row["row"]: row["batch_share"] for row in rows if "error" not in row}
    ratios = []
    if shares:
        worst = max(shares, key=lambda name: shares[name])
        name = f"a batch / its training step, at most ({worst})"
        ratios.append(ratio(name, shares[worst], at_most=LARGEST_SHARE))
    return {"batches": len(configs), "rows": rows, "ratios": ratios}


COLUMNS = {
    "configuration": text("row"),
    "batch": number("batch_size"),
    "making it, ms": number("batch_ms", ".2f"),
    "training step, ms": number("step_ms", ",.1f"),
    "share": number("batch_share", ".2%"),
}
NOTE = "Medians. Step: forward, backward and Adam on the batch, in float32."
MEASUREMENT = Measurement(
    kind="batches", measure=measure, tables=one_table(COLUMNS), note=lambda result: NOTE
)
