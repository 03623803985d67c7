"""The report as one HTML page that needs nothing beside it."""

from collections.abc import Collection, Sequence
from html import escape

from .document import document
from .picture import labels
from .record import LOWER_IS_BETTER, Record
from .table import COLUMNS, best, cells, columns, differences

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto;
  max-width: 1200px; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: right; border-bottom: 1px solid #ddd;
  white-space: nowrap; }
th:first-child, td:first-child, .text { text-align: left; }
thead th { border-bottom: 2px solid #888; }
.best { font-weight: 700; }
.note { color: #555; }
"""


def as_page(records: Sequence[Record], picture: str) -> str:
    """The page's text.

    Args:
        records: runs of one task.
        picture: an ``<svg>`` element.
    """
    measure = records[0].measure
    order = "lower is better" if LOWER_IS_BETTER[measure] else "higher is better"
    task = escape(records[0].task)
    parts = [
        f"<h1>{task}: {len(records)} {'run' if len(records) == 1 else 'runs'}</h1>",
        f'<p class="note">valid and test: {measure}, {order}.</p>',
        _results(records),
        "<h2>Learning curves</h2>",
        picture,
    ]
    different = differences(records)
    if different:
        head = ["", *labels(records)]
        body = [[name, *values] for name, values in different]
        parts += ["<h2>What differs between the configurations</h2>", _table(head, body)]
    return document(f"{records[0].task}: learning curves", STYLE, *parts)


def _results(records: Sequence[Record]) -> str:
    winners = {
        (place, COLUMNS.index(split))
        for split in ("valid", "test")
        if (place := best(records, split)) is not None and len(records) > 1
    }
    return _table(columns(records), cells(records), winners)


def _table(head: list[str], body: list[list[str]], marked: Collection[tuple[int, int]] = ()) -> str:
    lines = ['<div class="wide"><table><thead><tr>']
    lines += [f'<th scope="col">{escape(text)}</th>' for text in head]
    lines.append("</tr></thead><tbody>")
    for y, row in enumerate(body):
        found = []
        for x, text in enumerate(row):
            kind = ' class="best"' if (y, x) in marked else ""
            found.append(f"<td{kind}>{escape(text)}</td>")
        lines.append(f"<tr>{''.join(found)}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])
