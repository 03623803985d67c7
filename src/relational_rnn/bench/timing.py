"""Timing: seconds of a piece of work, sampled in interleaved rounds."""

import gc
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

Key = TypeVar("Key", bound=Hashable)


class Times(NamedTuple):
    """Seconds by the clock, and CPU seconds of all threads of the process in the meantime."""

    wall: float
    cpu: float


class Spread(NamedTuple):
    """Median and quantiles of several samples; of their CPU times only the median, if known."""

    median: float
    p20: float
    p80: float
    samples: int
    cpu: float | None = None

    @classmethod
    def of(cls, samples: Sequence[float], cpu: Sequence[float] = ()) -> "Spread":
        """The spread of these samples, and their CPU times."""
        p20, median, p80 = np.quantile(samples, (0.2, 0.5, 0.8)).tolist()
        return cls(median, p20, p80, len(samples), float(np.median(cpu)) if len(cpu) else None)

    @property
    def relative(self) -> float:
        """Half the distance between the quantiles, as a share of the median."""
        return (self.p80 - self.p20) / 2 / self.median

    def fields(self, name: str, unit: str) -> dict[str, Any]:
        """Fields of a result's row, from seconds: ``NAME_UNIT``, its spread, number of samples.

        If CPU times are known, also ``NAME_cpu_UNIT``.
        """
        scale = {"s": 1.0, "ms": 1e3}[unit]
        cpu = {} if self.cpu is None else {f"{name}_cpu_{unit}": self.cpu * scale}
        return {
            f"{name}_{unit}": self.median * scale,
            f"{name}_spread_{unit}": [self.p20 * scale, self.p80 * scale],
            f"{name}_samples": self.samples,
            **cpu,
        }


FEWEST_FOR_A_SPREAD = 3  # samples: two that are alike by chance are not a small spread


class Stop(NamedTuple):
    """When a cell has enough samples: `least`, and then after `seconds` or at a small `spread`."""

    seconds: float  # spent on the cell
    least: int  # samples, however long they take
    most: int  # samples, however short they are
    spread: float = 0.0  # of the median, see `Spread.relative`; 0: no reason to stop

    def reached(self, samples: Sequence[float]) -> bool:
        """Whether these samples, in seconds, are enough."""
        if len(samples) < self.least:
            return False
        if len(samples) >= self.most or sum(samples) >= self.seconds:
            return True
        return len(samples) >= FEWEST_FOR_A_SPREAD and Spread.of(samples).relative < self.spread


ONCE = Stop(seconds=0.0, least=1, most=1)


def timed(work: Callable[[], object], device: str = "cpu") -> Times:
    """The time until the result of `work` is there, with garbage collection off."""
    collects = gc.isenabled()
    gc.disable()
    try:
        synchronize(device)
        start, cpu_start = time.perf_counter(), time.process_time()
        work()
        synchronize(device)
        return Times(time.perf_counter() - start, time.process_time() - cpu_start)
    finally:
        if collects:
            gc.enable()


def synchronize(device: str) -> None:
    """Wait for all work queued on the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def interleave(
    cells: Mapping[Key, Callable[[], float | Sequence[float]]],
    stop: Stop,
    *,
    progress: Callable[[Key], None] = lambda key: None,
) -> tuple[dict[Key, Spread], dict[Key, str]]:
    """Sample every cell once a round (a, b, c, a, b, c, ...) until each has enough samples.

    A slow minute of the machine then slows a round of all cells, not all samples of one.

    Args:
        cells: functions that return one sample: seconds, or `Times` (also as a list, from JSON).
        stop: when a cell drops out of the rounds.
        progress: called with each cell before it is sampled.

    Returns:
        Spreads by cell, and error messages by cell for those that raised an exception.
    """
    samples: dict[Key, list[float]] = {key: [] for key in cells}
    cpu_times: dict[Key, list[float]] = {key: [] for key in cells}
    errors: dict[Key, str] = {}
    going = list(cells)
    while going:
        for key in list(going):
            progress(key)
            try:
                sample = cells[key]()
            except Exception as error:
                errors[key] = one_line(error)
                going.remove(key)
                continue
            seconds, *cpu = sample if isinstance(sample, Sequence) else (sample,)
            samples[key].append(seconds)
            cpu_times[key] += cpu
            if stop.reached(samples[key]):
                going.remove(key)
    spreads = {key: Spread.of(samples[key], cpu_times[key]) for key in cells if key not in errors}
    return spreads, errors


def one_line(error: BaseException) -> str:
    """An error as the cell of a table."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".removesuffix(": ")[:200]
