"""Cores of many sizes: each backend on a CPU, next to the matrix products alone and an LSTM.

All in float32, forward and backward, with one and with two threads.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..nn.relational_memory import RelationalMemory
from ..ops.relational_memory import choose
from ..ops.relational_memory.native import build
from .cases import FUSED, LSTM, NATIVE, REFERENCE, Case
from .check import check_core
from .measurement import Measurement, Progress, Result
from .tables import SPREAD_NOTE, Row, number, one_table, ratio, text, timing
from .timing import Stop, Times, interleave, one_line, timed
from .work import Core, Floor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STOP = Stop(seconds=0.5, least=2, most=15)
SHORTEST = 2e-3  # seconds of a sample: shorter work is repeated within it
THREADS = (1, 2)
MOST_CHECKED = 32  # sequences of a batch

BACKENDS = {"reference": REFERENCE.name, "fused": FUSED.name, "native": NATIVE.name}
"""Variants by backend, all in float32."""


class Size(NamedTuple):
    """A core and the shape of its inputs."""

    steps: int
    batch: int
    slots: int
    heads: int
    head_size: int
    key_size: int
    mlp_layers: int
    input_size: int

    @property
    def core(self) -> str:
        """Slots and width of the memory."""
        return f"{self.slots} x {self.heads * self.head_size}"

    def __str__(self) -> str:
        return f"{self.core}, T {self.steps}, batch {self.batch}"

    def case(self, name: str, **overrides: int) -> Case:
        """The case of a variant at this size."""
        sizes = {
            "bptt": self.steps,
            "batch_size": self.batch,
            "mem_slots": self.slots,
            "num_heads": self.heads,
            "head_size": self.head_size,
            "key_size": self.key_size,
            "attention_mlp_layers": self.mlp_layers,
            "embedding_size": self.input_size,
        }
        return Case(name=name, overrides={**sizes, **overrides})


def _square(steps: int, batch: int, slots: int, width: int) -> Size:
    """Four heads, two MLP layers, and inputs as wide as the memory."""
    return Size(steps, batch, slots, 4, width // 4, width // 4, 2, width)


SMALL = (_square(4, 256, 4, 64), _square(8, 512, 4, 64), _square(30, 128, 1, 128))
MANY_SLOTS = _square(8, 256, 8, 256)
LANGUAGE_MODEL = Size(100, 64, 1, 4, 192, 64, 3, 195)
SIZES = (
    _square(10, 1, 1, 32),
    _square(4, 512, 1, 32),
    _square(100, 64, 1, 32),
    _square(10, 1, 4, 64),
    _square(20, 16, 4, 64),
    *SMALL[:2],
    _square(20, 16, 1, 128),
    SMALL[2],
    _square(20, 32, 4, 128),
    _square(50, 64, 1, 256),
    _square(4, 1, 8, 256),
    _square(4, 8, 8, 256),
    MANY_SLOTS,
    LANGUAGE_MODEL._replace(steps=1, batch=1),
    LANGUAGE_MODEL._replace(steps=20, batch=1),
    LANGUAGE_MODEL._replace(steps=20, batch=8),
    LANGUAGE_MODEL,
    _square(10, 4, 1, 2048),
)
"""By width of the memory, slots, and rows of work."""


class TimedSize:
    """The work of one size. Call :meth:`check` first: most of its memory is free again after it.

    Attributes:
        cases: of each backend that can run here and of ``"lstm"``.
        lstm_width: of the LSTM with as many parameters as the core.
        multiply_adds: of the core's forward pass of one step.
        auto: the backend that ``"auto"`` takes.
    """

    def __init__(self, size: Size) -> None:
        backends = [name for name in BACKENDS if name != "native" or build.why_not() is None]
        self.cases = {name: size.case(BACKENDS[name]) for name in backends}
        self._core = Core(self.cases["reference"])
        self._floor = Floor(self._core)
        self.multiply_adds = self._floor.multiply_adds
        layer = self._core.core.layers[0]
        assert isinstance(layer, RelationalMemory)
        parameters = sum(weight.numel() for weight in layer.parameters())
        self.lstm_width = equal_lstm(parameters, size.input_size)
        self.cases["lstm"] = size.case(LSTM.name, hidden_size=self.lstm_width)
        inputs, memory = self._core.inputs.unsqueeze(2), self._core.state[0]
        self.auto = choose(inputs, memory, layer.core_parameters(), layer.options)

    def check(self, batch_size: int) -> None:
        """Compare the other backends with the reference, and the LSTM with its loop.

        Raises:
            ArithmeticError: a tensor differs by more than is allowed.
        """
        for name, case in self.cases.items():
            if name != "reference":
                check_core(case, batch_size=batch_size)

    def cells(self) -> dict[str, Callable[[], Times]]:
        """A function for each case, and for ``"floor"``, that takes a sample; all are warmed up."""
        cores = {name: Core(case) for name, case in self.cases.items() if name != "reference"}
        works = {"reference": self._core.step, **{name: core.step for name, core in cores.items()}}
        works["floor"] = self._floor.step
        return {name: partial(_sample, work, _repeats(work)) for name, work in works.items()}


def equal_lstm(parameters: int, input_size: int) -> int:
    """The width H of the LSTM whose 4 H (I + H + 2) parameters are closest to a number of them."""
    inputs = input_size + 2
    below = max(1, int((math.sqrt(inputs**2 + parameters) - inputs) / 2))
    return min(below, below + 1, key=lambda h: abs(4 * h * (inputs + h) - parameters))


def _repeats(work: Callable[[], object]) -> int:
    """How often the work is done in a sample; it is done once to warm up, once to find out."""
    first = timed(work).wall
    return 1 if first >= SHORTEST else math.ceil(SHORTEST / timed(work).wall)


def _sample(work: Callable[[], object], repeats: int) -> Times:
    """The mean time of the work, done several times in a row."""

    def repeated() -> None:
        for _ in range(repeats):
            work()

    wall, cpu = timed(repeated)
    return Times(wall / repeats, cpu / repeats)


def measure(
    sizes: Sequence[Size] = SIZES,
    *,
    threads: Sequence[int] = THREADS,
    stop: Stop = STOP,
    progress: Progress,
) -> dict[str, Any]:
    """Measure the sizes in interleaved rounds, in this process. Compiles the native core.

    Args:
        sizes: of cores and their inputs.
        threads: numbers of threads; each size is measured with each.
        stop: when a size has enough samples of a backend.
        progress: called with what is being measured.

    Returns:
        rows and ratios.
    """
    rows = []
    for size in sizes:
        for count in threads:
            progress(f"{size}: {_threads(count)}")
            with _using(count):
                try:
                    figures = _figures(size, stop)
                except Exception as error:
                    figures = {"error": one_line(error)}
            shape = {"row": size.core, "steps": size.steps, "batch": size.batch}
            rows.append(shape | {"threads": count} | figures)
    return {"rows": rows, "ratios": ratios(rows)}


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


@contextmanager
def _using(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _figures(size: Size, stop: Stop) -> dict[str, Any]:
    """Check and time a size with the present number of threads; ``error`` if a cell failed."""
    timed_size = TimedSize(size)
    timed_size.check(min(size.batch, MOST_CHECKED))
    spreads, errors = interleave(timed_size.cells(), stop)
    if errors:
        return {"error": next(iter(errors.values()))}
    found: dict[str, Any] = {
        "multiply_adds": timed_size.multiply_adds,
        "lstm_width": timed_size.lstm_width,
    }
    for name, spread in spreads.items():
        found |= spread.fields(name, "ms")
    times = {name: spread.median for name, spread in spreads.items()}
    backends = {name: times[name] for name in BACKENDS if name in times}
    found |= {f"{name}_over_floor": time / times["floor"] for name, time in backends.items()}
    if "native" in times:
        found["fused_over_native"] = times["fused"] / times["native"]
    found["auto"] = timed_size.auto
    found["auto_over_fastest"] = times[timed_size.auto] / min(backends.values())
    wall, cpu = sum(times.values()), sum(spread.cpu or 0.0 for spread in spreads.values())
    return found | {"cpu_share": cpu / wall}


class Target(NamedTuple):
    """A bound on a quotient in the rows of some sizes; the worst of them counts."""

    name: str
    figure: str  # of a row
    sizes: Sequence[Size]
    at_most: float | None = None
    at_least: float | None = None


TARGETS = (
    Target("native / floor, small cores", "native_over_floor", SMALL, at_most=1.6),
    Target("native / floor, 8 x 256", "native_over_floor", [MANY_SLOTS], at_most=1.2),
    Target("native / floor, 1 x 768", "native_over_floor", [LANGUAGE_MODEL], at_most=1.0),
    Target("fused / native, small cores", "fused_over_native", SMALL, at_least=3),
    Target("fused / native, 1 x 768", "fused_over_native", [LANGUAGE_MODEL], at_least=1.2),
    Target("auto / fastest, worst row", "auto_over_fastest", SIZES, at_most=1.1),
)


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each number of threads, the targets of which the rows have figures; worst rows named."""
    found = []
    for count in sorted({row["threads"] for row in rows}):
        own = [row for row in rows if row["threads"] == count]
        for target in TARGETS:
            figures = {
                _name(row): row[target.figure]
                for row in own
                if target.figure in row and _name(row) in map(str, target.sizes)
            }
            if figures:
                worst = (min if target.at_most is None else max)(figures, key=lambda x: figures[x])
                name = f"{target.name}, {_threads(count)} ({worst})"
                bounds = {"at_most": target.at_most, "at_least": target.at_least}
                found.append(ratio(name, figures[worst], **bounds))
    return found


def _name(row: Row) -> str:
    """The size of a row, as `Size` writes it."""
    return f"{row['row']}, T {row['steps']}, batch {row['batch']}"


COLUMNS = {
    "core": text("row"),
    "T": number("steps"),
    "batch": number("batch"),
    "threads": number("threads"),
    "reference, ms": timing("reference_ms"),
    "fused, ms": timing("fused_ms"),
    "native, ms": timing("native_ms"),
    "LSTM, ms": timing("lstm_ms"),
    "floor, ms": timing("floor_ms"),
    "fused / native": number("fused_over_native", ".2f"),
    "native / floor": number("native_over_floor", ".2f"),
    "auto": lambda row: row.get("auto", ""),
    "auto / fastest": number("auto_over_fastest", ".2f"),
    "CPU / clock": number("cpu_share", ".2f"),
}
NOTE = (
    f"{SPREAD_NOTE} Forward and backward of a core of slots x width, in float32. Floor: its "
    'matrix products alone. LSTM: `nn.LSTM` with as many parameters. Auto: what `backend="auto"` '
    "chooses, and its time over the fastest backend's. CPU / clock: CPU time over time by the "
    "clock; less than 1 with one thread means that other programs used the machine."
)


def draw(result: Result) -> "Figure":
    """How many times longer than its floor each backend takes, from the least work to the most."""
    from matplotlib.figure import Figure

    rows = [row for row in result["rows"] if "error" not in row]
    rows.sort(key=lambda row: row["multiply_adds"])
    counts = sorted({row["threads"] for row in rows}) or [1]
    figure = Figure(figsize=(3 + 4.5 * len(counts), 7), layout="constrained")
    panels = figure.subplots(1, len(counts), sharex=True, sharey=True, squeeze=False)[0]
    places = {name: place for place, name in enumerate(dict.fromkeys(map(_name, rows)))}
    for panel, count in zip(panels, counts, strict=True):
        _times_floor(panel, [row for row in rows if row["threads"] == count], places)
        panel.set(title=_threads(count), xlabel="time / time of the matrix products alone")
    panels[0].set_yticks(range(len(places)), [*places])
    panels[0].invert_yaxis()
    panels[-1].legend(frameon=False, loc="lower right")
    figure.suptitle(
        "Cores of slots x width, from little to much work in a step: forward and backward"
    )
    return figure


def _times_floor(axes: "Axes", rows: Sequence[Row], places: Mapping[str, int]) -> None:
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    from .pictures import COLOURS

    for name, colour, marker in zip(BACKENDS, COLOURS, "s^o", strict=False):
        figure = f"{name}_over_floor"
        shown = [row for row in rows if figure in row]
        values, heights = [row[figure] for row in shown], [places[_name(row)] for row in shown]
        axes.plot(values, heights, marker, color=colour, markersize=8, label=name)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50])
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


MEASUREMENT = Measurement(
    kind="sizes", measure=measure, tables=one_table(COLUMNS), note=lambda result: NOTE, draw=draw
)
