"""Whether training waits for its examples: making a batch against the step that learns from it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch.nn.functional import cross_entropy

from ..config import GeneratedConfig, load, shipped
from ..registry import build_task, build_task_model, is_generated
from ..tasks.sampling import Batch, BatchSource
from .machine import describe
from .sheet import Sheet, number, with_errors
from .targets import verdict
from .timing import Stop, interleave, timed

STOP = Stop(seconds=1.0, least=2, most=30)
MOST = 0.05  # of a training step


class GeneratedStep:
    """A generated task under measurement: its batches, and a training step of its model."""

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
        self.make()
        self.learn()

    def make(self) -> None:
        """The next batch."""
        self.batch = self.source.batch(self.made)
        self.made += 1

    def learn(self) -> None:
        """A step on the batch made last."""
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
    configs: Sequence[GeneratedConfig],
    *,
    stop: Stop = STOP,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Time a batch and a step of each configuration.

    Returns:
        machine, batches (how many configurations), rows (batch_ms, step_ms and their quotient)
        and ratios: plain values, ready for JSON.
    """
    machine = describe()
    rows = []
    for config in configs:
        subject = GeneratedStep(config)
        cells = {"batch": partial(timed, subject.make), "step": partial(timed, subject.learn)}
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
        text = f"a batch / its training step, at most ({worst})"
        ratios.append(verdict(text, shares[worst], MOST, at_most=True))
    return {"machine": machine, "batches": len(configs), "rows": rows, "ratios": ratios}


def sheets(result: Mapping[str, Any]) -> list[Sheet]:
    """The table: a configuration a row."""
    header = ["configuration", "batch", "making it, ms", "training step, ms", "share"]
    cells = [
        [
            row["row"],
            f"{row['batch_size']:,}",
            number(row.get("batch_ms"), ".2f"),
            number(row.get("step_ms"), ",.1f"),
            number(row.get("batch_share"), ".2%"),
        ]
        for row in result["rows"]
    ]
    return [with_errors(Sheet(header, cells), result["rows"])]
