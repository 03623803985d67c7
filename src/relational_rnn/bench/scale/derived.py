"""What follows from measured memory for several devices. Nothing here is measured; all says so."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..memory import MB

Row = Mapping[str, Any]


def line(points: Sequence[tuple[int, float]]) -> dict[str, float]:
    """Peak over streams as a straight line, by least squares.

    Args:
        points: streams, and megabytes; two at least.

    Returns:
        mb_per_stream, constant_mb, and largest_error_mb of a point.
    """
    streams, peaks = np.array(points, dtype=np.float64).T
    slope, constant = np.polyfit(streams, peaks, deg=1).tolist()
    error = np.abs(slope * streams + constant - peaks).max().item()
    return {"mb_per_stream": slope, "constant_mb": constant, "largest_error_mb": error}


def whole_step(sizes: Row, fit: Row, micro_batch: int) -> float:
    """Megabytes of a step in micro-batches, above weights and optimizer state."""
    gradients: float = sizes["gradients_bytes"] / MB
    peak: float = fit["constant_mb"] + fit["mb_per_stream"] * micro_batch
    return gradients + peak


def on_devices(sizes: Row, fit: Row, devices: int, batch_size: int) -> dict[str, Any]:
    """Memory of each device at a global batch, its streams all at once, and what is exchanged.

    Every device has the whole model. Where there are several, DistributedDataParallel keeps the
    gradients a second time, in the buckets that are added up over the devices: once a step.
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
        "derived": True,
    }


def derive(
    rows: Sequence[Row], *, devices: Sequence[int], batch_size: int
) -> dict[str, list[dict[str, Any]]]:
    """What follows from the measured rows; nothing for a model with fewer than two peaks.

    Returns:
        fits, a row each model; whole_steps; devices, a row each model and number of devices.
    """
    found: dict[str, list[dict[str, Any]]] = {"fits": [], "whole_steps": [], "devices": []}
    good = [row for row in rows if "error" not in row]
    for sizes in (row for row in good if row["kind"] == "model"):
        name = sizes["row"]
        parts = [row for row in good if row["kind"] == "micro-batch" and row["row"] == name]
        if len(parts) < 2:
            continue
        fit = line([(row["streams"], row["peak_mb"]) for row in parts])
        found["fits"].append({"row": name, **fit, "derived": True})
        found["devices"] += [
            {"row": name, **on_devices(sizes, fit, number, batch_size)} for number in devices
        ]
        for row in good:
            if row["kind"] == "step" and row["row"] == name:
                peak = whole_step(sizes, fit, row["micro_batch"])
                found["whole_steps"].append({"row": name, "peak_mb": peak, "derived": True})
    return found
