"""A sweep's trials as a ranked table: for the terminal, in Markdown, JSON, and on an HTML page."""

from pathlib import Path

from ..files import as_json, write_text
from .formatting import duration, escaped, field_value, markdown_table, millions, quality
from .outcomes import Outcome, Outcomes
from .pages import render
from .parallel_coordinates import parallel_coordinates
from .terminal import WideTable


def write_sweep(outcomes: Outcomes, folder: Path) -> dict[str, Path]:
    """Write ``table.md``, ``table.json`` and ``sweep.html`` into the sweep's folder.

    Returns:
        The paths, by the names "table", "data" and "page".

    Raises:
        UserError: the folder cannot be written to; older files of these names stay.
    """
    paths = {
        "table": folder / "table.md",
        "data": folder / "table.json",
        "page": folder / "sweep.html",
    }
    data = {
        "sweep": outcomes.name,
        "measure": outcomes.measure,
        "spearman": outcomes.rho,
        "trials": outcomes.rows(),
    }
    write_text(paths["data"], as_json(data, indent=2) + "\n")
    write_text(paths["table"], as_markdown(outcomes))
    write_text(paths["page"], as_page(outcomes))
    return paths


def as_table(outcomes: Outcomes) -> WideTable:
    """The table for the terminal, with the best trial in bold."""
    names = [name.replace("_", " ") for name in columns(outcomes)]
    return WideTable(
        title=f"{outcomes.name}: {outcomes.finished} of {len(outcomes.trials)} trials finished",
        caption=caption(outcomes),
        header=names,
        rows=cells(outcomes),
        keys=2,
        bold={(0, column) for column in range(len(names)) if outcomes.finished > 1},
    )


def as_markdown(outcomes: Outcomes) -> str:
    """The table as a Markdown file."""
    names, rows = columns(outcomes), [[escaped(each) for each in row] for row in cells(outcomes)]
    lines = [
        f"# {escaped(outcomes.name)}",
        "",
        caption(outcomes),
        "",
        markdown_table(names, rows, left=0).removesuffix("\n"),
    ]
    for trial in outcomes.trials:
        if trial.error is not None:
            lines += ["", f"Trial {trial.number} failed: {escaped(trial.error)}"]
    return "\n".join([*lines, ""])


def as_page(outcomes: Outcomes) -> str:
    """The HTML page: parallel coordinates and the table; pointing at a trial shows it in both."""
    return render(
        "sweep.html",
        name=outcomes.name,
        finished=outcomes.finished,
        caption=caption(outcomes),
        picture=parallel_coordinates(outcomes),
        columns=columns(outcomes),
        trials=list(zip(outcomes.trials, cells(outcomes), strict=True)),
    )


def columns(outcomes: Outcomes) -> list[str]:
    """The names of the columns."""
    published = ["published", "its rank"] if outcomes.compared else []
    names = [axis.name for axis in outcomes.axes]
    return ["rank", "trial", *names, "weights", "time", "valid", "test", *published]


def cells(outcomes: Outcomes) -> list[list[str]]:
    """The cells of the table as text, a row per trial; "–" where a value is missing."""
    return [_row(outcomes, trial) for trial in outcomes.trials]


def caption(outcomes: Outcomes) -> str:
    """The measure, and how well its ranks agree with published ones."""
    order = "lower" if outcomes.lower_is_better else "higher"
    lines = f"{outcomes.measure}, {order} is better; ranked by valid."
    if outcomes.rho is not None:
        number = len(outcomes.published_place)
        lines += f" Spearman's rho of the {number} measured and published: {outcomes.rho:.2f}."
    return lines


def _row(outcomes: Outcomes, trial: Outcome) -> list[str]:
    place = outcomes.place.get(trial.number)
    row = [
        trial.state if place is None else f"{place:g}",
        str(trial.number),
        *(
            field_value(trial.parameters[axis.name]) if axis.name in trial.parameters else "–"
            for axis in outcomes.axes
        ),
        millions(trial.weights),
        duration(trial.seconds),
        quality(trial.value),
        quality(trial.test),
    ]
    if outcomes.compared:
        rank = outcomes.published_place.get(trial.number)
        row += [quality(trial.published), "–" if rank is None else f"{rank:g}"]
    return row
