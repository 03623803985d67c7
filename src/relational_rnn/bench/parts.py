"""Where the time of one training step goes: its parts, timed one after the other in a real step."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..models.language_model import LanguageModel
from ..tasks.language_modeling.batching import Ids, Windows, streams
from .check import check
from .machine import describe
from .rows import FASTEST_LSTM, FASTEST_RMC, ROWS, Case
from .timing import Spread, synchronize
from .work import Training, autocast, words

ROUNDS = 5
CASES = (Case(row=FASTEST_RMC.name), Case(row=FASTEST_LSTM.name))


class Stopwatch:
    """Collects the seconds between one lap and the next."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.laps: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        """Begin here."""
        synchronize(self.device)
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """What was done since the last lap is called `name`."""
        synchronize(self.device)
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


class PartedTraining(Training):
    """A training step cut into parts: the graph is cut where one part hands on to the next."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        assert isinstance(self.model, LanguageModel)
        self.language_model = self.model
        # One column after the other is one text, as `streams` wants it, of one window.
        text = words(case, steps=self.config.bptt, batch_size=self.config.batch_size)
        ids: Ids = text.t().flatten().numpy()
        if case.vocabulary_size < 2**16:
            ids = ids.astype(np.uint16)  # as token files are
        self.windows = Windows(streams(ids, self.config.batch_size), bptt=self.config.bptt)

    def parted_step(self) -> dict[str, float]:
        """Make one step; the seconds of each part, in their order."""
        model, device = self.language_model, ROWS[self.case.row].device
        watch = Stopwatch(device)
        tokens, targets = (ids.to(device) for ids in next(iter(self.windows)))
        watch.lap("data to tensors")
        with autocast(self.case):
            looked_up = model.embedding_dropout(model.word_dropout(model.embedding, tokens))
            embedded = looked_up.detach().requires_grad_()
            watch.lap("embedding")
            output, state = model.core(embedded, self.state)
            to_project = output.detach().requires_grad_()
            watch.lap("core forward")
            hidden = model.output_dropout(model.projection(to_project))
            features = hidden.detach().requires_grad_()
            watch.lap("projection forward")
            loss: Tensor = model.head.loss(features, targets)
        self.state = tuple(tensor.detach() for tensor in state)
        watch.lap("loss forward")
        torch.autograd.backward(loss)
        watch.lap("loss backward")
        torch.autograd.backward(hidden, features.grad)
        watch.lap("projection backward")
        torch.autograd.backward(output, to_project.grad)
        watch.lap("core backward")
        torch.autograd.backward(looked_up, embedded.grad)
        watch.lap("embedding backward")
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), self.config.clip)
        watch.lap("clip")
        self.optimizer.step()
        self.optimizer.zero_grad()
        watch.lap("optimizer")
        return watch.laps


def measure(
    cases: Sequence[Case] = CASES,
    *,
    rounds: int = ROUNDS,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The parts of a training step, for each case.

    Returns:
        machine, and for each case a row for each part, and for their sum and the uncut step.
    """
    machine = describe()
    subjects = {}
    for case in cases:
        progress(f"{case.row}: check")
        check(case)
        subjects[case.row] = PartedTraining(case)
        subjects[case.row].parted_step()
    samples: dict[str, list[dict[str, float]]] = {row: [] for row in subjects}
    for _ in range(rounds):
        for row, subject in subjects.items():
            progress(f"{row}: training step")
            laps = subject.parted_step()
            watch = Stopwatch(ROWS[row].device)
            subject.step()
            watch.lap("the same step, uncut")
            samples[row].append({**laps, "sum of the parts": sum(laps.values()), **watch.laps})
    rows = []
    for row, steps in samples.items():
        whole = Spread.of([step["sum of the parts"] for step in steps]).median
        for part in steps[0]:
            spread = Spread.of([step[part] for step in steps])
            rows.append(
                {
                    "row": row,
                    "part": part,
                    "ms": spread.median * 1e3,
                    "spread_ms": [spread.p20 * 1e3, spread.p80 * 1e3],
                    "share": spread.median / whole,
                }
            )
    return {"machine": machine, "rows": rows}
