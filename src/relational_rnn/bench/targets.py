"""What the figures are meant to reach, as ratios of rows measured in one run."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .rows import FUSED, FUSED_BFLOAT16, LSTM, LSTM_BFLOAT16, PLAIN, REFERENCE

Figures = Mapping[str, Any]


class Target(NamedTuple):
    """``rows[above][figure] / rows[below][other]`` and its bound."""

    text: str
    above: str
    figure: str
    below: str
    other: str
    bound: float
    at_most: bool


def _at_most(bound: float, text: str, above: str, figure: str, below: str, other: str) -> Target:
    return Target(text, above, figure, below, other, bound, True)


def _at_least(bound: float, text: str, above: str, below: str, figure: str) -> Target:
    return Target(text, above, figure, below, figure, bound, False)


BF16, F32 = FUSED_BFLOAT16.name, FUSED.name
SPEED = (
    _at_most(
        1.35, "core, bfloat16: fused / its floor", BF16, "core_step_ms", BF16, "core_floor_ms"
    ),
    _at_least(4, "core: reference float32 / fused bfloat16", REFERENCE.name, BF16, "core_step_ms"),
    _at_most(1.35, "core, float32: fused / its floor", F32, "core_step_ms", F32, "core_floor_ms"),
    _at_least(1.8, "core, float32: reference / fused", REFERENCE.name, F32, "core_step_ms"),
    _at_most(
        1.1,
        "training step, bfloat16: rmc / lstm",
        BF16,
        "train_step_ms",
        LSTM_BFLOAT16.name,
        "train_step_ms",
    ),
    _at_most(
        1.1, "training step, float32: rmc / lstm", F32, "train_step_ms", LSTM.name, "train_step_ms"
    ),
    _at_least(2.5, "training step: plain model / rmc bfloat16", PLAIN.name, BF16, "train_step_ms"),
    _at_most(
        0.5, "peak memory: rmc bfloat16 / plain model", BF16, "peak_mb", PLAIN.name, "peak_mb"
    ),
    _at_most(0.5, "peak memory: rmc float32 / plain model", F32, "peak_mb", PLAIN.name, "peak_mb"),
)


def verdict(text: str, value: float, bound: float, *, at_most: bool) -> dict[str, Any]:
    """A ratio, its target and whether it is met."""
    met = value <= bound if at_most else value >= bound
    return {
        "ratio": text,
        "value": round(value, 3),
        "target": f"{'≤' if at_most else '≥'} {bound:g}",
        "met": met,
    }


def speed_ratios(rows: Iterable[Figures]) -> list[dict[str, Any]]:
    """The ratios of the table; those of rows without the figures are left out."""
    named = {row["row"]: row for row in rows}
    found = []
    for target in SPEED:
        above = named.get(target.above, {}).get(target.figure)
        below = named.get(target.below, {}).get(target.other)
        if above is not None and below:
            value = above / below
            found.append(verdict(target.text, value, target.bound, at_most=target.at_most))
    return found
