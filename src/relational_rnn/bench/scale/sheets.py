"""The tables: three of measured rows, and one that is derived and says so."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..memory import MB
from ..sheet import Sheet, number, timing, with_errors

Row = Mapping[str, Any]


def sheets(result: Mapping[str, Any]) -> list[Sheet]:
    """All tables; that of the devices is left out where nothing could be derived."""
    rows: Sequence[Row] = result["rows"]
    models, parts, steps = (
        [row for row in rows if row["kind"] == kind] for kind in ("model", "micro-batch", "step")
    )
    found = [_models(models), _micro_batches(parts), _steps(steps, result["derived"])]
    if result["derived"]["devices"]:
        found.append(_devices(result["derived"]["devices"]))
    return [sheet for sheet in found if sheet.rows]


def note(result: Mapping[str, Any]) -> str:
    """What the figures mean, and which are not measured."""
    about = result["scale"]
    text = (
        f"{about['config']}: {about['vocabulary']:,} words, {about['batch_size']} streams of "
        f"{about['bptt']} steps, {about['dtype']}, {about['optimizer']}; random words. Medians; ± "
        "half the distance between the 20 % and 80 % quantiles; the whole step was made once. "
        "Megabytes are 10^6 bytes. Peak of a micro-batch: above weights, gradients and optimizer "
        "state; of a whole step: above weights and optimizer state."
    )
    fits = "; ".join(
        f"{fit['row']} {fit['mb_per_stream']:.1f} MB a stream + {fit['constant_mb']:,.0f} MB "
        f"(off by {fit['largest_error_mb']:.1f} MB at most where it was measured)"
        for fit in result["derived"]["fits"]
    )
    if not fits:
        return text
    return (
        f"{text} Derived, not measured: the line through the peaks, {fits}; the whole step's peak "
        "from it; and the last table, in which each device takes its streams all at once, far "
        "beyond the measured sizes. Buckets are DistributedDataParallel's second copy of the "
        "gradients, the all-reduce is once a step. All with this machine's peaks: on a GPU "
        "another core is used."
    )


def _models(rows: Sequence[Row]) -> Sheet:
    header = ["model", "parameters", "weights, MB", "gradients, MB", "optimizer, MB"]
    cells = [
        [
            row["row"],
            number(row.get("parameters")),
            *(_megabytes(row.get(f"{what}_bytes")) for what in ("weights", "gradients")),
            _megabytes(row.get("optimizer_bytes")),
            timing(row, "update_s"),
        ]
        for row in rows
    ]
    return with_errors(Sheet([*header, "clip + optimizer step, s"], cells), rows)


def _micro_batches(rows: Sequence[Row]) -> Sheet:
    header = ["micro-batch", "streams", "forward + backward, s", "tokens/s", "peak, MB"]
    cells = [
        [
            row["row"],
            number(row["streams"]),
            timing(row, "forward_backward_s"),
            number(row.get("tokens_per_s")),
            number(row.get("peak_mb")),
        ]
        for row in rows
    ]
    return with_errors(Sheet(header, cells), rows)


def _steps(rows: Sequence[Row], derived: Mapping[str, Sequence[Row]]) -> Sheet:
    header = ["whole step", "streams", "at a time", "s", "tokens/s", "peak, MB"]
    expected = {row["row"]: row["peak_mb"] for row in derived["whole_steps"]}
    cells = [
        [
            row["row"],
            number(row["streams"]),
            number(row.get("micro_batch")),
            number(row.get("seconds"), ",.1f"),
            number(row.get("tokens_per_s")),
            number(row.get("peak_mb")),
            number(expected.get(row["row"])),
            number(row.get("process_mb")),
        ]
        for row in rows
    ]
    return with_errors(Sheet([*header, "peak, derived, MB", "process, MB"], cells), rows)


def _devices(rows: Sequence[Row]) -> Sheet:
    header = ["derived, not measured", "devices", "streams on each", "kept, MB", "buckets, MB"]
    cells = [
        [
            row["row"],
            number(row["devices"]),
            number(row["streams"], ",g"),
            *(number(row[f"{what}_mb"]) for what in ("kept", "buckets", "activations")),
            number(row["constant_mb"]),
            number(row["total_mb"]),
            _megabytes(row["all_reduce_bytes"]),
        ]
        for row in rows
    ]
    more = ["activations, MB", "constant, MB", "on each device, MB", "all-reduce, MB"]
    return Sheet([*header, *more], cells)


def _megabytes(size: float | None) -> str:
    return number(None if size is None else size / MB)
