"""Where the time of a training step goes: its parts, timed in sequence within real steps."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..models.language_model import LanguageModel
from ..tasks.language_modeling.batching import Ids, Windows, streams
from .cases import FASTEST_LSTM, FASTEST_RMC, Case
from .check import check
from .measurement import Measurement, Progress, Result
from .tables import SPREAD_NOTE, number, one_table, text, timing
from .timing import Spread, synchronize
from .work import Training, autocast, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDS = 5
CASES = (Case(name=FASTEST_RMC.name), Case(name=FASTEST_LSTM.name))


class Stopwatch:
    """Seconds between one lap and the next."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.laps: dict[str, float] = {}
        synchronize(device)
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Record the time since the last lap, or since the start, as `name`."""
        synchronize(self.device)
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


class ProfiledTraining(Training):
    """A training step in parts; the autograd graph is cut at their boundaries."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        assert isinstance(self.model, LanguageModel)
        self.language_model = self.model
        # `streams` cuts a text into columns: column after column, the words are one window.
        column_by_column = words(case, steps=self.config.bptt, batch_size=self.config.batch_size)
        ids: Ids = column_by_column.t().flatten().numpy()
        if case.vocabulary_size < 2**16:
            ids = ids.astype(np.uint16)  # as in token files
        self.windows = Windows(streams(ids, self.config.batch_size), bptt=self.config.bptt)

    def profiled_step(self) -> dict[str, float]:
        """Do one step; return the seconds of each part, in order."""
        model, device = self.language_model, self.case.variant.device
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
    cases: Sequence[Case] = CASES, *, rounds: int = ROUNDS, progress: Progress
) -> dict[str, Any]:
    """Profile the cases in interleaved rounds.

    Returns:
        rows: for each case, one for each part, one for their sum and one for an uncut step.
    """
    subjects = {}
    for case in cases:
        progress(f"{case.name}: check")
        check(case)
        subjects[case.name] = ProfiledTraining(case)
        subjects[case.name].profiled_step()
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, subject in subjects.items():
            progress(f"{name}: training step")
            laps = subject.profiled_step()
            watch = Stopwatch(subject.case.variant.device)
            subject.step()
            watch.lap("the same step, uncut")
            samples[name].append({**laps, "sum of the parts": sum(laps.values()), **watch.laps})
    rows = []
    for name, steps in samples.items():
        whole = Spread.of([step["sum of the parts"] for step in steps]).median
        for part in steps[0]:
            spread = Spread.of([step[part] for step in steps])
            rows.append(
                {
                    "row": name,
                    "part": part,
                    "ms": spread.median * 1e3,
                    "spread_ms": [spread.p20 * 1e3, spread.p80 * 1e3],
                    "share": spread.median / whole,
                }
            )
    return {"rows": rows}


COLUMNS = {
    "row": text("row"),
    "part": text("part"),
    "ms": timing("ms"),
    "share": number("share", ".1%"),
}


def draw(result: Result) -> "Figure":
    """The parts as bars, a panel for each case."""
    from matplotlib.figure import Figure

    from .pictures import COLOURS, bars

    rows = result["rows"]
    names = list(dict.fromkeys(row["row"] for row in rows))
    parts = list(dict.fromkeys(row["part"] for row in rows))
    figure = Figure(figsize=(6.5 * len(names), 1 + 0.4 * len(parts)), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, sharex=True, squeeze=False)[0]
    for panel, name, colour in zip(panels, names, COLOURS, strict=False):
        own = [row for row in rows if row["row"] == name]
        bars(panel, own, "ms", title=name, unit="ms", colour=colour)
    panels[0].set_yticks(range(len(parts)), parts)
    panels[0].invert_yaxis()
    return figure


MEASUREMENT = Measurement(
    kind="profile",
    measure=measure,
    tables=one_table(COLUMNS),
    note=lambda result: SPREAD_NOTE,
    draw=draw,
)
