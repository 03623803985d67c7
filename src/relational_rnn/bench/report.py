"""Results as tables, for the terminal and in Markdown, and as files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ..errors import UserError
from ..files import write_bytes, write_text
from ..report.figures import as_png
from ..report.terminal import least_width
from . import batches
from .corpus import sheets as corpus_sheets
from .picture import draw
from .scale import sheets as scale_sheets
from .sheet import Sheet, number, timing, with_errors

Result = Mapping[str, Any]


def sheets(result: Result) -> list[Sheet]:
    """The tables of a result: its rows, then its ratios if it has any."""
    rows: Sequence[Mapping[str, Any]] = result["rows"]
    found = []
    if "scale" in result:
        found += scale_sheets.sheets(result)
    elif "corpus" in result:
        found += corpus_sheets.sheets(result)
    elif "batches" in result:
        found += batches.sheets(result)
    elif "growth_mb" in result:
        cells = [[f"{row['step']:,}", f"{row['resident_mb']:,.1f}"] for row in rows]
        found.append(Sheet(["step", "process, MB"], cells))
    elif "part" in rows[0]:
        cells = [
            [row["row"], row["part"], timing(row, "ms"), f"{row['share']:.1%}"] for row in rows
        ]
        found.append(Sheet(["row", "part", "ms", "share"], cells))
    elif "grow" in result:
        found.append(_growth(result["grow"], rows))
    else:
        found.append(_speed(rows))
    if result.get("ratios"):
        cells = [
            [one["ratio"], f"{one['value']:.2f}", one["target"], "yes" if one["met"] else "no"]
            for one in result["ratios"]
        ]
        found.append(Sheet(["ratio of medians", "measured", "target", "met"], cells))
    return found


def _speed(rows: Sequence[Mapping[str, Any]]) -> Sheet:
    header = [
        "row",
        "core forward, ms",
        "core forward + backward, ms",
        "its floor, ms",
        "times floor",
        "training step, ms",
        "tokens/s",
        "peak, MB",
    ]
    cells = [
        [
            row["row"],
            *(timing(row, f"{name}_ms") for name in ("core_forward", "core_step", "core_floor")),
            number(row.get("core_step_over_floor"), ".2f"),
            timing(row, "train_step_ms"),
            number(row.get("tokens_per_s"), ",.0f"),
            number(row.get("peak_mb"), ",.0f"),
        ]
        for row in rows
    ]
    return with_errors(Sheet(header, cells), rows)


def _growth(what: str, rows: Sequence[Mapping[str, Any]]) -> Sheet:
    names = [
        name for name in ("core_step", "train_step") if any(f"{name}_ms" in row for row in rows)
    ]
    titles = {"core_step": "core forward + backward, ms", "train_step": "training step, ms"}
    cells = [
        [
            row["row"],
            f"{row[what]:,}",
            *(timing(row, f"{name}_ms") for name in names),
            number(row.get("peak_mb"), ",.0f"),
        ]
        for row in rows
    ]
    return with_errors(
        Sheet(["row", what, *(titles[name] for name in names), "peak, MB"], cells), rows
    )


def machine_lines(machine: Mapping[str, Any]) -> list[str]:
    """Where and with what, for people."""
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


def note(result: Result) -> str | None:
    """What the figures mean."""
    if "scale" in result:
        return scale_sheets.note(result)
    if "corpus" in result:
        return corpus_sheets.note(result)
    if "growth_mb" in result:
        return f"{result['row']}: growth after settling {result['growth_mb']:.1f} MB"
    if "batches" in result:
        return "Medians. Step: forward, backward and Adam on the batch, in float32."
    text = "Medians; ± half the distance between the 20 % and 80 % quantiles."
    if "part" in result["rows"][0] or "grow" in result:
        return text
    return (
        f"{text} Cores: forward, then forward and backward, next to the same matrix products "
        "alone. Training step: whole model with loss, clipping and Adam; peak: its memory above "
        "the process with weights and optimizer state."
    )


def show(result: Result, console: Console) -> None:
    """Print the tables."""
    for sheet in sheets(result):
        _print(sheet, console)
    for text in (note(result), *machine_lines(result["machine"])):
        if text is not None:
            console.print(text, style="dim", markup=False, highlight=False)


def _print(sheet: Sheet, console: Console) -> None:
    """Print a table; one that is too wide in halves, each with the names of the rows."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column, name in enumerate(sheet.header):
        wraps = name in ("error", "ratio of medians")
        width = max(map(len, (*name.split(), *(line[column] for line in sheet.rows))))
        left = column == 0 or name in ("part", "error")
        table.add_column(
            name if wraps else fill(name, width),
            justify="left" if left else "right",
            width=None if wraps else width,
        )
    for line in sheet.rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in line))
    columns = len(sheet.header)
    if least_width(table) <= console.width or columns == 2:
        console.print(table)
        return
    middle = columns // 2 + 1
    for half in (range(1, middle), range(middle, columns)):
        header, *rows = (
            [line[0], *(line[column] for column in half)] for line in (sheet.header, *sheet.rows)
        )
        _print(Sheet(header, rows), console)


def as_markdown(result: Result, command: str) -> str:
    """The tables in Markdown, with the command that made them."""
    lines = []
    for sheet in sheets(result):
        lines.append(_line(sheet.header))
        lines.append(_line([":--", *["--:"] * (len(sheet.header) - 1)]))
        lines += [*(_line(row) for row in sheet.rows), ""]
    lines += [*filter(None, [note(result)]), "", f"`{command}`: "]
    lines[-1] += "; ".join(machine_lines(result["machine"]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def save(result: Result, folder: Path, name: str, *, command: str) -> list[Path]:
    """Write ``NAME.json`` (all figures), ``NAME.md`` (the tables), ``NAME.png`` (if it has one).

    Raises:
        UserError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}") from error
    paths = [folder / f"{name}.{kind}" for kind in ("json", "md", "png")]
    write_text(paths[0], json.dumps(result, indent=1, allow_nan=False) + "\n")
    write_text(paths[1], as_markdown(result, command))
    figure = draw(result)
    if figure is None:
        return paths[:2]
    write_bytes(paths[2], as_png(figure))
    return paths
