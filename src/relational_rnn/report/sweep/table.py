"""A sweep as a table: for the terminal, and in Markdown."""

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..table import duration, least_width, millions, quality
from .axes import text
from .outcomes import Outcome, Outcomes


def head(outcomes: Outcomes) -> list[str]:
    """The names of the columns."""
    published = ["published", "its rank"] if outcomes.compared else []
    names = [axis.name for axis in outcomes.axes]
    return ["rank", "trial", *names, "weights", "time", "valid", "test", *published]


def cells(outcomes: Outcomes) -> list[list[str]]:
    """The table in words, a row a trial; "–" where there is nothing."""
    return [_row(outcomes, trial) for trial in outcomes.trials]


def caption(outcomes: Outcomes) -> str:
    """What the figures are, in a line or two."""
    order = "lower" if outcomes.lower_is_better else "higher"
    lines = f"{outcomes.measure}, {order} is better; ranked by valid."
    if outcomes.rho is not None:
        number = len(outcomes.published_place)
        lines += f" Spearman's rho of the {number} measured and published: {outcomes.rho:.2f}."
    return lines


def show(outcomes: Outcomes) -> None:
    """Print the table; in a window too narrow for it lines are broken, never figures."""
    table = Table(
        title=f"{outcomes.name}: {outcomes.finished} of {len(outcomes.trials)} trials finished",
        title_justify="left",
        caption=caption(outcomes),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    rows = cells(outcomes)
    for column, name in enumerate(head(outcomes)):
        words = [*name.split("_"), *(row[column] for row in rows)]
        table.add_column(name.replace("_", " "), justify="right", width=max(map(len, words)))
    for place, row in enumerate(rows):
        style = "bold" if place == 0 and outcomes.finished > 1 else None
        table.add_row(*map(escape, row), style=style)
    Console(width=max(Console().width, least_width(table))).print(table)


def as_markdown(outcomes: Outcomes) -> str:
    """The table as a Markdown file."""
    names = head(outcomes)
    lines = [
        f"# {outcomes.name}",
        "",
        caption(outcomes),
        "",
        f"| {' | '.join(names)} |",
        f"|{' --: |' * len(names)}",
        *(f"| {' | '.join(row)} |".replace("\n", " ") for row in cells(outcomes)),
    ]
    for trial in outcomes.trials:
        if trial.error is not None:
            lines += ["", f"Trial {trial.number} failed: {trial.error}"]
    return "\n".join([*lines, ""])


def _row(outcomes: Outcomes, trial: Outcome) -> list[str]:
    place = outcomes.place.get(trial.number)
    row = [
        trial.state if place is None else f"{place:g}",
        str(trial.number),
        *(
            text(trial.parameters[axis.name]) if axis.name in trial.parameters else "–"
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
