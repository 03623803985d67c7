"""All measurements by kind; their results in the terminal, in Markdown and as files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console

from ..errors import UserError
from ..files import write_bytes, write_text
from ..report.figures import STYLE, as_png
from ..report.formatting import markdown_table
from ..report.terminal import WideTable
from . import batches, busy, corpus, growth, memory_growth, profile, scale, sizes, speed
from .measurement import Measurement, Result
from .tables import Table, ratio_table

MEASUREMENTS: dict[str, Measurement] = {
    module.MEASUREMENT.kind: module.MEASUREMENT
    for module in (speed, sizes, growth, profile, memory_growth, scale, corpus, batches, busy)
}

WRAPPING_COLUMNS = ("error", "ratio of medians")


def measurement_of(result: Result) -> Measurement:
    """The measurement that made a result."""
    return MEASUREMENTS[result["kind"] if "kind" in result else _kind_by_fields(result)]


def _kind_by_fields(result: Result) -> str:
    """The kind of a result from before results carried it."""
    for kind in ("scale", "corpus", "batches"):
        if kind in result:
            return kind
    if "growth_mb" in result:
        return "memory"
    if "grow" in result:
        return "growth"
    return "profile" if "part" in result["rows"][0] else "speed"


def tables(result: Result) -> list[Table]:
    """The tables of a result, then its ratios if it has any."""
    found = [*measurement_of(result).tables(result)]
    if result.get("ratios"):
        found.append(ratio_table(result["ratios"]))
    return found


def draw(result: Result) -> Figure | None:
    """The picture of a result, for measurements that have one."""
    measurement = measurement_of(result)
    with mpl.rc_context(STYLE):
        return None if measurement.draw is None else measurement.draw(result)


def show(result: Result, console: Console) -> None:
    """Print the tables."""
    for header, rows in tables(result):
        left = (header[0], "part", "error")
        console.print(WideTable(header=header, rows=rows, left=left, wraps=WRAPPING_COLUMNS))
    for line in (measurement_of(result).note(result), *_machine_lines(result["machine"])):
        console.print(line, style="dim", markup=False, highlight=False)


def as_markdown(result: Result, command: str) -> str:
    """The tables in Markdown, with the command that made them."""
    lines = [
        markdown_table(_escaped(table.header), [_escaped(row) for row in table.rows])
        for table in tables(result)
    ]
    origin = f"`{command}`: {'; '.join(_machine_lines(result['machine']))}"
    return "\n".join([*lines, measurement_of(result).note(result), "", origin, ""])


def _escaped(cells: Sequence[str]) -> list[str]:
    return [cell.replace("|", r"\|") for cell in cells]


def _machine_lines(machine: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    load = machine["load_average"]
    before = "unknown" if load is None else " ".join(f"{value:.2f}" for value in load)
    commit = machine["commit"] or "no commit"
    changed = " with changes" if machine["dirty"] else ""
    return [
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"device {machine['device']}, load average before {before}",
        f"{versions}, commit {commit[:12]}{changed}, {machine['time']}",
    ]


def save(result: Result, folder: Path, name: str, *, command: str) -> list[Path]:
    """Write ``NAME.json`` (all figures), ``NAME.md`` (tables) and, if there is one, ``NAME.png``.

    Returns:
        The paths.

    Raises:
        UserError: the folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot create the folder: {error.strerror}") from error
    paths = [folder / f"{name}.{suffix}" for suffix in ("json", "md", "png")]
    write_text(paths[0], json.dumps(result, indent=1, allow_nan=False) + "\n")
    write_text(paths[1], as_markdown(result, command))
    figure = draw(result)
    if figure is None:
        return paths[:2]
    write_bytes(paths[2], as_png(figure))
    return paths
