"""Attention and gates, step by step, on an HTML page with a slider that needs nothing beside it."""

import json
from html import escape

from ..inspection import Inspection
from .document import document
from .memory_picture import rounded

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2rem auto;
  max-width: 1200px; padding: 0 1.5rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
input[type=range] { width: 100%; }
#steps { display: flex; flex-wrap: wrap; gap: .1rem; }
#steps button { font: inherit; border: 0; background: #eee; padding: .1rem .45rem;
  cursor: pointer; }
#steps button[aria-current=step] { background: #0072b2; color: #fff; }
#all { display: flex; flex-wrap: wrap; gap: 1.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .8rem; }
td, th { width: 2.6em; height: 1.7em; text-align: center; padding: 0; font-weight: normal; }
.note { color: #555; }
"""

SCRIPT = """
const slider = document.getElementById("step"), all = document.getElementById("all");
const buttons = [...document.querySelectorAll("#steps button")];
const cell = (row, text, share) => {
  const td = document.createElement(share === undefined ? "th" : "td");
  td.textContent = text;
  if (share !== undefined) {
    td.style.background = `rgb(0 114 178 / ${share})`;
    td.style.color = share > .5 ? "#fff" : "#222";
  }
  row.append(td);
};
const table = (title, columns, rows, values) => {
  const box = document.createElement("div"), head = document.createElement("h2");
  const body = document.createElement("table");
  head.textContent = title;
  cell(body.insertRow(), "");
  columns.forEach(name => cell(body.rows[0], name));
  values.forEach((line, y) => {
    const row = body.insertRow();
    cell(row, rows[y]);
    line.forEach(value => cell(row, (value / 1000).toFixed(2), value / 1000));
  });
  box.append(head, body);
  all.append(box);
};
const show = () => {
  const t = +slider.value;
  buttons.forEach((button, i) => i === t ? button.setAttribute("aria-current", "step")
    : button.removeAttribute("aria-current"));
  all.replaceChildren();
  data.attention[t].forEach((heads, block) => heads.forEach((matrix, head) =>
    table(`block ${block}, head ${head}`, data.rows, data.rows, matrix)));
  if (data.input_gate) table("gates", ["input", "forget"], data.rows,
    data.input_gate[t].map((value, slot) => [value, data.forget_gate[t][slot]]));
};
slider.addEventListener("input", show);
buttons.forEach((button, i) => button.addEventListener("click", () => {
  slider.value = i;
  show();
}));
show();
"""


def memory_page(seen: Inspection) -> str:
    """The page's text: a slider over the steps, the whole attention of each, and the gates."""
    inputs = seen.attention.shape[-1] - seen.slots
    names = ["input"] if inputs == 1 else [f"input {row}" for row in range(inputs)]
    data = {
        "rows": [*(f"slot {slot}" for slot in range(seen.slots)), *names],
        "attention": rounded(seen.attention),
        "input_gate": rounded(seen.input_gate),
        "forget_gate": rounded(seen.forget_gate),
    }
    steps = "".join(f'<button type="button">{escape(step)}</button>' for step in seen.steps)
    return document(
        seen.title,
        STYLE,
        f"<h1>{escape(seen.title)}</h1>",
        '<p class="note">Each row shows how one slot shares out its attention at this step. '
        "Gates are the means over the units of a slot; a forget gate of 1 keeps it.</p>",
        f'<label>step <input id="step" type="range" min="0" max="{len(seen.steps) - 1}" '
        'value="0"></label>',
        f'<div id="steps">{steps}</div><div id="all"></div>',
        f"<script>const data = {json.dumps(data, separators=(',', ':'))};{SCRIPT}</script>",
    )
