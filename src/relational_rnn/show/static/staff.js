// Columns in lines like those of sheet music: a word or step, and below it what the memory did.
//
// A column is { text, label, rows }, perhaps with `breaks` (it begins a line), `given` (typed, not drawn)
// and a `tint`. A row is { name, height } with either `bar` (0 to 1), `ahead` (-1 to 1, a bar from the
// middle) or `values` (0 to 1 each, cells one below the other).
// All columns of a staff have the same rows. The names stand left of every line.

import { make } from "./elements.js";
import { viridis } from "./viridis.js";

const GAP = 4; // pixels between two rows

export class Staff {
  constructor(element, onSelect) {
    this.element = element;
    this.onSelect = onSelect;
    this.columns = [];
    this.selected = -1;
    element.addEventListener("keydown", (event) => this.move(event));
    new ResizeObserver(() => this.name()).observe(element);
  }

  clear() {
    this.element.replaceChildren();
    this.columns = [];
    this.selected = -1;
  }

  // Keeps the first columns only.
  cut(count) {
    while (this.columns.length > count) {
      const last = this.columns.pop();
      if (last.previousSibling?.className === "break") last.previousSibling.remove();
      last.remove();
    }
    if (this.selected >= count) this.selected = -1;
    this.name();
  }

  add(column) {
    const button = make("button", { type: "button", className: "column", tabIndex: -1 });
    button.addEventListener("click", () => this.select(this.columns.indexOf(button), true));
    this.columns.push(button);
    this.draw(this.columns.length - 1, column);
    if (column.breaks) this.element.append(make("span", { className: "break" }));
    this.element.append(button);
    if (this.columns.length === 1) button.tabIndex = 0;
    this.name();
  }

  draw(index, column) {
    const button = this.columns[index];
    this.rows = column.rows;
    button.setAttribute("aria-label", column.label);
    button.setAttribute("aria-pressed", index === this.selected);
    const text = make("span", { className: "text", textContent: column.text });
    if (column.tint) text.style.background = column.tint;
    button.classList.toggle("given", Boolean(column.given));
    button.replaceChildren(text, ...column.rows.map(drawRow));
  }

  select(index, byUser = false) {
    this.columns.forEach((button, place) => {
      button.setAttribute("aria-pressed", place === index);
      button.tabIndex = place === Math.max(index, 0) ? 0 : -1;
    });
    this.selected = index;
    if (byUser) this.onSelect(index);
  }

  move(event) {
    const here = this.columns.indexOf(document.activeElement);
    const last = this.columns.length - 1;
    const places = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last };
    if (here < 0 || !(event.key in places)) return;
    event.preventDefault();
    const next = this.columns[Math.min(Math.max(places[event.key], 0), last)];
    this.columns[here].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  // Writes the names of the rows in front of every line.
  name() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.element.querySelectorAll(".names").forEach((names) => names.remove());
      let line = -1;
      for (const column of this.columns) {
        if (column.offsetTop === line) continue;
        line = column.offsetTop;
        const names = make("div", { className: "names", "aria-hidden": "true" },
          make("span", { className: "text" }), ...this.rows.map(drawName));
        names.style.top = `${line}px`;
        this.element.append(names);
      }
    });
  }
}

function drawRow(row) {
  const place = make("span", { className: "row" });
  place.style.height = `${row.height}px`;
  if (row.values) {
    const each = row.height / row.values.length;
    const stops = row.values.map((value, index) =>
      `${viridis(value)} ${index * each}px ${(index + 1) * each}px`);
    place.style.backgroundImage = `linear-gradient(${stops.join(", ")})`;
  } else if (row.ahead !== undefined) {
    const bar = make("i", { className: row.ahead > 0 ? "first" : "second" });
    bar.style.height = `${Math.abs(row.ahead) * 50}%`;
    bar.style[row.ahead > 0 ? "bottom" : "top"] = "50%";
    place.classList.add("around");
    place.append(bar);
  } else {
    const bar = make("i");
    bar.style.height = `${Math.min(row.bar ?? 0, 1) * 100}%`;
    place.classList.add("bar");
    place.append(bar);
  }
  place.style.marginTop = `${GAP}px`;
  return place;
}

function drawName(row) {
  const name = make("span", { className: "row" }, make("span", { textContent: row.name }));
  name.style.height = `${row.height}px`;
  name.style.marginTop = `${GAP}px`;
  return name;
}

// The rows of a layer that the pages share.
export function memoryRows({ to_input: heads, input_gate: written, forget_gate: kept }) {
  const rows = [];
  const cells = (values) => Math.max(14, values.length * Math.max(3, Math.min(9, 32 / values.length)));
  if (heads) rows.push({ name: "attention", height: cells(heads), values: heads });
  if (written) rows.push({ name: "input gate", height: cells(written), values: written });
  if (kept) rows.push({ name: "forget gate", height: cells(kept), values: kept });
  return rows;
}

// What the colours mean, below which the rows of `rows` are explained.
export function legend(element, explained) {
  const scale = make("span", { className: "scale", "aria-hidden": "true" });
  scale.style.backgroundImage =
    `linear-gradient(to right, ${[0, 0.25, 0.5, 0.75, 1].map(viridis).join(", ")})`;
  element.replaceChildren(make("span", {}, "0 ", scale, " 1"), ...explained.map(([name, meaning]) =>
    make("span", {}, make("b", { textContent: name }), ` ${meaning}`)));
  element.hidden = false;
}
