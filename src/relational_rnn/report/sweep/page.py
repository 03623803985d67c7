"""A sweep as one HTML page that needs nothing beside it."""

from html import escape

from ..document import document
from ..page import STYLE
from .coordinates import parallel_coordinates
from .outcomes import Outcomes
from .table import caption, cells, head

HOVER = """
.line { cursor: pointer; } .line path { transition: opacity .1s; }
.some .line .seen { opacity: .12; }
.some .line.on .seen { opacity: 1; stroke-width: 3.2; }
tbody tr.on { background: #e6f1f8; }
"""

SCRIPT = """
const all = [...document.querySelectorAll("[data-trial]")];
const picture = document.querySelector("svg");
const show = trial => {
  picture?.classList.toggle("some", trial !== null);
  all.forEach(part => part.classList.toggle("on", part.dataset.trial === trial));
};
all.forEach(part => {
  part.addEventListener("pointerenter", () => show(part.dataset.trial));
  part.addEventListener("pointerleave", () => show(null));
});
"""


def as_page(outcomes: Outcomes) -> str:
    """The page's text: the picture, and the table; the pointer on a trial shows it in both."""
    name = escape(outcomes.name)
    failed = [trial for trial in outcomes.trials if trial.error is not None]
    return document(
        f"{outcomes.name}: sweep",
        STYLE + HOVER,
        f"<h1>{name}: {outcomes.finished} of {len(outcomes.trials)} trials finished</h1>",
        f'<p class="note">{escape(caption(outcomes))}</p>',
        '<div class="wide">',
        parallel_coordinates(outcomes),
        "</div>",
        "<h2>Trials</h2>",
        _table(outcomes),
        *(
            f'<p class="note">Trial {trial.number} failed: {escape(str(trial.error))}</p>'
            for trial in failed
        ),
        f"<script>{SCRIPT}</script>",
    )


def _table(outcomes: Outcomes) -> str:
    names = "".join(f'<th scope="col">{escape(x.replace("_", " "))}</th>' for x in head(outcomes))
    lines = [f'<div class="wide"><table><thead><tr>{names}</tr></thead><tbody>']
    for trial, row in zip(outcomes.trials, cells(outcomes), strict=True):
        inner = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        lines.append(f'<tr data-trial="{trial.number}">{inner}</tr>')
    return "\n".join([*lines, "</tbody></table></div>"])
