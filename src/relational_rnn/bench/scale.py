"""What a training step of the paper's WikiText-103 model costs, for several devices too.

Measured: the model with each output head, in micro-batches, and one whole step with the first head.
Derived from the measured peaks, and labelled as such: the memory of each of several devices.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import process_memory
from .cases import FASTEST_RMC, MODELS, PAPER, WIKITEXT103, Case
from .check import check
from .measurement import Measurement, Progress, Result
from .process_memory import MB
from .tables import SPREAD_NOTE, Row, Table, number, table, text, timing
from .timing import ONCE, Spread, Stop, Times, interleave, timed
from .work import Training
from .worker import Worker, WorkerError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CASES: Mapping[str, Case] = {
    f"{head} softmax": Case(
        name=FASTEST_RMC.name,
        config_name=PAPER,
        vocabulary_size=WIKITEXT103,
        overrides={"head": head},
    )
    for head in ("full", "adaptive")
}
"""The model with each output head; the first is the configuration's own."""

MICRO_BATCHES = (4, 8, 16, 32)
DEVICES = (1, 2, 4, 8)
STOP = Stop(seconds=10.0, least=3, most=5)
WARM_UP_SHARE = 10  # the first training step sees this fraction of the window
CHECKED_WORDS = 8_192  # the whole vocabulary in float64, with gradients, does not fit in memory


class LargeTraining:
    """Training of a large model, in a worker process.

    Args:
        case: what to measure.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.device = case.variant.device

    def check(self) -> Times:
        """Compare core and model with the reference, with at most 8,192 words.

        Returns:
            The time that it took.

        Raises:
            ArithmeticError: they differ.
        """
        words = min(self.case.vocabulary_size, CHECKED_WORDS)
        return timed(lambda: check(replace(self.case, vocabulary_size=words)), self.device)

    @cached_property
    def training(self) -> Training:
        """The model, with gradients and optimizer state allocated."""
        training = Training(self.case)
        self._backward(training, 1)
        training.update()
        return training

    def sizes(self) -> dict[str, int]:
        """Number of parameters; bytes of weights, gradients and optimizer state."""
        weights = list(self.training.model.parameters())
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        states = self.training.optimizer.state.values()
        kept = [tensor for state in states for tensor in state.values() if tensor.dim()]
        return {
            "parameters": sum(weight.numel() for weight in weights),
            "weights_bytes": sum(weight.nbytes for weight in weights),
            "gradients_bytes": sum(gradient.nbytes for gradient in gradients),
            "optimizer_bytes": sum(tensor.nbytes for tensor in kept),
        }

    def peak_mb(self, streams: int) -> float:
        """Peak megabytes of forward and backward, above weights, gradients, optimizer state."""
        training = self.training
        return process_memory.peak_during(lambda: self._backward(training, streams), self.device)

    def forward_backward(self, streams: int) -> Times:
        """The time of forward and backward."""
        training = self.training
        return timed(lambda: self._backward(training, streams), self.device)

    def update(self) -> Times:
        """The time of gradient clipping and the optimizer's step."""
        return timed(self.training.update, self.device)

    def whole_step(self) -> dict[str, float]:
        """One step of the whole batch, in the micro-batches of the configuration.

        As between two steps of a training, the optimizer's state exists before it (from a step on
        a tenth of the window) and gradients do not.

        Returns:
            seconds; peak_mb, above weights and optimizer state; process_mb, the whole process at
            its peak.
        """
        training = Training(self.case)
        training.step(length=max(1, training.config.bptt // WARM_UP_SHARE))
        before = process_memory.resident()
        seconds: list[float] = []
        peak = process_memory.peak_during(
            lambda: seconds.append(timed(training.step, self.device).wall), self.device
        )
        return {"seconds": seconds[0], "peak_mb": peak, "process_mb": before + peak}

    def _backward(self, training: Training, streams: int) -> None:
        training.backward(
            training.tokens[:, :streams].contiguous(),
            training.targets[:, :streams].contiguous(),
            training.model.initial_state(streams),
            share=streams / training.config.batch_size,
        )


def measure(
    cases: Mapping[str, Case] = CASES,
    *,
    micro_batches: Sequence[int] = MICRO_BATCHES,
    devices: Sequence[int] = DEVICES,
    stop: Stop = STOP,
    progress: Progress,
) -> dict[str, Any]:
    """Measure each model in a process of its own, in sequence, then a whole step of the first.

    The step uses the largest of the measured micro-batches that divides the batch.

    Args:
        cases: the models, by name.
        micro_batches: numbers of streams for which forward and backward are measured.
        devices: numbers of devices for which memory is derived.
        stop: when a metric has enough samples.
        progress: called with what is being measured.

    Returns:
        scale (configuration and sizes), rows (measured) and derived.
    """
    rows: list[dict[str, Any]] = []
    for name, case in cases.items():
        with Worker(LargeTraining, case) as worker:
            rows += _model(name, worker, micro_batches, case.config(MODELS).bptt, stop, progress)
    name, case = next(iter(cases.items()))
    rows.append(_step(name, case, rows, progress))
    config = case.config(MODELS)
    scale = {
        "config": config.name,
        "vocabulary": case.vocabulary_size,
        "batch_size": config.batch_size,
        "bptt": config.bptt,
        "optimizer": config.optimizer,
        "dtype": case.variant.dtype,
    }
    derived = derive(rows, devices=devices, batch_size=config.batch_size)
    return {"scale": scale, "rows": rows, "derived": derived}


def _model(
    name: str,
    worker: Worker,
    micro_batches: Sequence[int],
    bptt: int,
    stop: Stop,
    progress: Progress,
) -> list[dict[str, Any]]:
    """A row for the model, and one for each micro-batch."""
    model: dict[str, Any] = {"row": name, "kind": "model"}
    try:
        progress(f"{name}: check")
        worker.call("check")
        progress(f"{name}: sizes")
        model |= worker.call("sizes")
    except WorkerError as error:
        return [{**model, "error": str(error)}]

    def tell(key: tuple[str, int]) -> None:
        metric, streams = key
        progress(f"{name}: {metric.replace('_', ' ')}" + (f", {streams} streams" * bool(streams)))

    answers: dict[tuple[str, int], Spread] = {}
    failed: dict[int, str] = {}
    # The step that is measured for memory is the warm-up of those that are timed.
    for metric, until in (("peak_mb", ONCE), ("forward_backward", stop)):
        cells: dict[tuple[str, int], Callable[[], float]] = {
            (metric, streams): partial(worker.call, metric, streams)
            for streams in micro_batches
            if streams not in failed
        }
        if until is stop:
            cells["update", 0] = partial(worker.call, "update")
        good, bad = interleave(cells, until, progress=tell)
        answers |= good
        failed |= {streams: message for (_, streams), message in bad.items()}
    model |= {"error": failed[0]} if 0 in failed else answers["update", 0].fields("update", "s")
    rows = [model]
    for streams in micro_batches:
        row: dict[str, Any] = {"row": name, "kind": "micro-batch", "streams": streams}
        if streams in failed:
            row["error"] = failed[streams]
        else:
            spread = answers["forward_backward", streams]
            row |= spread.fields("forward_backward", "s")
            row["tokens_per_s"] = streams * bptt / spread.median
            row["peak_mb"] = answers["peak_mb", streams].median
        rows.append(row)
    return rows


def _step(name: str, case: Case, rows: Sequence[Row], progress: Progress) -> dict[str, Any]:
    """A row for a whole step."""
    config = case.config(MODELS)
    row: dict[str, Any] = {"row": name, "kind": "step", "streams": config.batch_size}
    sizes = [
        one["streams"]
        for one in rows
        if (one["row"], one["kind"]) == (name, "micro-batch")
        and "error" not in one
        and config.batch_size % one["streams"] == 0
    ]
    if not sizes:
        return {**row, "error": "no micro-batch that divides the batch was measured"}
    row["micro_batch"] = max(sizes)
    overrides = {**case.overrides, "micro_batch_size": row["micro_batch"]}
    progress(f"{name}: a whole step, {config.batch_size} streams, {row['micro_batch']} at a time")
    with Worker(LargeTraining, replace(case, overrides=overrides)) as worker:
        try:
            row |= worker.call("whole_step")
        except WorkerError as error:
            return {**row, "error": str(error)}
    row["tokens_per_s"] = config.batch_size * config.bptt / row["seconds"]
    return row


def derive(
    rows: Sequence[Row], *, devices: Sequence[int], batch_size: int
) -> dict[str, list[dict[str, Any]]]:
    """Derive memory from the measured rows; nothing for a model with fewer than two peaks.

    Returns:
        fits, a row for each model; whole_steps; devices, a row for each model and number.
    """
    found: dict[str, list[dict[str, Any]]] = {"fits": [], "whole_steps": [], "devices": []}
    good = [row for row in rows if "error" not in row]
    for sizes in (row for row in good if row["kind"] == "model"):
        own = [row for row in good if row["row"] == sizes["row"]]
        peaks = [(row["streams"], row["peak_mb"]) for row in own if row["kind"] == "micro-batch"]
        if len(peaks) < 2:
            continue
        fit, label = fit_line(peaks), {"row": sizes["row"], "derived": True}
        found["fits"].append(label | fit)
        found["devices"] += [
            label | memory_on_devices(sizes, fit, number, batch_size) for number in devices
        ]
        found["whole_steps"] += [
            label | {"peak_mb": whole_step_peak(sizes, fit, row["micro_batch"])}
            for row in own
            if row["kind"] == "step"
        ]
    return found


def fit_line(points: Sequence[tuple[int, float]]) -> dict[str, float]:
    """Least-squares line through peaks over streams.

    Args:
        points: at least two pairs of streams and megabytes.

    Returns:
        mb_per_stream, constant_mb, and largest_error_mb of a point.
    """
    streams, peaks = np.array(points, dtype=np.float64).T
    slope, constant = np.polyfit(streams, peaks, deg=1).tolist()
    error = np.abs(slope * streams + constant - peaks).max().item()
    return {"mb_per_stream": slope, "constant_mb": constant, "largest_error_mb": error}


def whole_step_peak(sizes: Row, fit: Row, micro_batch: int) -> float:
    """Peak megabytes of a step in micro-batches, above weights and optimizer state."""
    gradients: float = sizes["gradients_bytes"] / MB
    peak: float = fit["constant_mb"] + fit["mb_per_stream"] * micro_batch
    return gradients + peak


def memory_on_devices(sizes: Row, fit: Row, devices: int, batch_size: int) -> dict[str, Any]:
    """Memory of each device, all of its streams at once, and bytes of an all-reduce.

    Every device has the whole model. With several devices, DistributedDataParallel keeps a second
    copy of the gradients in its all-reduce buckets.
    """
    streams = batch_size / devices
    kept = sum(sizes[f"{what}_bytes"] for what in ("weights", "gradients", "optimizer")) / MB
    exchanged = sizes["gradients_bytes"] if devices > 1 else 0
    activations = fit["mb_per_stream"] * streams
    return {
        "devices": devices,
        "streams": streams,
        "kept_mb": kept,
        "buckets_mb": exchanged / MB,
        "activations_mb": activations,
        "constant_mb": fit["constant_mb"],
        "total_mb": kept + exchanged / MB + activations + fit["constant_mb"],
        "all_reduce_bytes": exchanged,
    }


def tables(result: Result) -> list[Table]:
    """Three tables of measured rows; a last one, if anything was derived, for the devices."""
    derived = result["derived"]
    measured = {
        kind: [row for row in result["rows"] if row["kind"] == kind]
        for kind in ("model", "micro-batch", "step")
    }
    expected = {row["row"]: row["peak_mb"] for row in derived["whole_steps"]}
    steps = [{**row, "derived_peak_mb": expected.get(row["row"])} for row in measured["step"]]
    models = {
        "model": text("row"),
        "parameters": number("parameters"),
        "weights, MB": number("weights_bytes", unit=MB),
        "gradients, MB": number("gradients_bytes", unit=MB),
        "optimizer, MB": number("optimizer_bytes", unit=MB),
        "clip + optimizer step, s": timing("update_s"),
    }
    micro_batches = {
        "micro-batch": text("row"),
        "streams": number("streams"),
        "forward + backward, s": timing("forward_backward_s"),
        "tokens/s": number("tokens_per_s"),
        "peak, MB": number("peak_mb"),
    }
    whole_steps = {
        "whole step": text("row"),
        "streams": number("streams"),
        "at a time": number("micro_batch"),
        "s": number("seconds", ",.1f"),
        "tokens/s": number("tokens_per_s"),
        "peak, MB": number("peak_mb"),
        "peak, derived, MB": number("derived_peak_mb"),
        "process, MB": number("process_mb"),
    }
    devices = {
        "derived, not measured": text("row"),
        "devices": number("devices"),
        "streams on each": number("streams", ",g"),
        "kept, MB": number("kept_mb"),
        "buckets, MB": number("buckets_mb"),
        "activations, MB": number("activations_mb"),
        "constant, MB": number("constant_mb"),
        "on each device, MB": number("total_mb"),
        "all-reduce, MB": number("all_reduce_bytes", unit=MB),
    }
    found = [
        table(measured["model"], models),
        table(measured["micro-batch"], micro_batches),
        table(steps, whole_steps),
        table(derived["devices"], devices),
    ]
    return [one for one in found if one.rows]


def note(result: Result) -> str:
    """What the figures mean, and which are derived."""
    scale = result["scale"]
    measured = (
        f"{scale['config']}: {scale['vocabulary']:,} words, {scale['batch_size']} streams of "
        f"{scale['bptt']} steps, {scale['dtype']}, {scale['optimizer']}; random words. "
        f"{SPREAD_NOTE.removesuffix('.')}; the whole step was made once. "
        "Megabytes are 10^6 bytes. Peak of a micro-batch: above weights, gradients and optimizer "
        "state; of a whole step: above weights and optimizer state."
    )
    fits = "; ".join(
        f"{fit['row']} {fit['mb_per_stream']:.1f} MB a stream + {fit['constant_mb']:,.0f} MB "
        f"(off by {fit['largest_error_mb']:.1f} MB at most where it was measured)"
        for fit in result["derived"]["fits"]
    )
    if not fits:
        return measured
    return (
        f"{measured} Derived, not measured: the line through the peaks, {fits}; the whole step's "
        "peak from it; and the last table, in which each device takes its streams all at once, far "
        "beyond the measured sizes. Buckets are DistributedDataParallel's second copy of the "
        "gradients, the all-reduce is once a step. All with this machine's peaks: on a GPU "
        "another core is used."
    )


def draw(result: Result) -> "Figure":
    """Measured peaks over streams, and the derived memory of devices."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    peaks = [row for row in result["rows"] if row["kind"] == "micro-batch" and "peak_mb" in row]
    _draw_peaks(left, peaks, result["derived"]["fits"])
    _draw_devices(right, result["derived"]["devices"])
    return figure


def _draw_peaks(axes: "Axes", rows: Sequence[Row], fits: Sequence[Row]) -> None:
    from .pictures import COLOURS

    for colour, name in zip(COLOURS, dict.fromkeys(row["row"] for row in rows), strict=False):
        own = [row for row in rows if row["row"] == name]
        streams = [row["streams"] for row in own]
        axes.plot(streams, [row["peak_mb"] for row in own], "o", color=colour, label=name)
        for fit in fits:
            if fit["row"] == name:
                ends = [0, max(streams)]
                heights = [fit["constant_mb"] + fit["mb_per_stream"] * end for end in ends]
                axes.plot(ends, heights, ":", color=colour)
    axes.set(title="Peak of forward + backward (measured)", xlabel="streams", ylabel="MB")
    axes.set_ylim(bottom=0)
    if rows:
        axes.legend(frameon=False)


def _draw_devices(axes: "Axes", rows: Sequence[Row]) -> None:
    from .pictures import COLOURS

    shares = {
        "kept_mb": "weights, gradients, optimizer",
        "buckets_mb": "buckets of the all-reduce",
        "constant_mb": "constant of a micro-batch",
        "activations_mb": "activations of the streams",
    }
    left = [0.0] * len(rows)
    for colour, (share, title) in zip(COLOURS, shares.items(), strict=False):
        widths = [row[share] for row in rows]
        axes.barh(range(len(rows)), widths, left=left, height=0.65, color=colour, label=title)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), [f"{row['row']}, {row['devices']}" for row in rows])
    axes.set(title="On each of so many devices (derived)", xlabel="MB")
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    if rows:
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)


MEASUREMENT = Measurement(kind="scale", measure=measure, tables=tables, note=note, draw=draw)
