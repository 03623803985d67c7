// The selected word: what the model expected in its place, and what its memory did.

import { make, ordinal, percent } from "./elements.js";
import { inkOn, viridis } from "./viridis.js";

// Fills `place`; `continueFrom(id)` is called with the word that the user selects instead.
export function describe(place, word, names, layer, { close, continueFrom }) {
  const cross = make("button", { type: "button", className: "close", textContent: "×", "aria-label": "Close" });
  cross.addEventListener("click", close);
  const parts = [cross, make("h2", { textContent: word.word === "↵" ? "↵ end of line" : word.word })];
  if (word.probability === null) {
    parts.push(make("p", { className: "small", textContent:
      "Every text begins with a line end; nothing was expected before it." }));
  } else {
    parts.push(figures(word), make("h3", { textContent: "What the model expected" }),
      make("p", { className: "small", textContent: "Select another word to continue from there." }),
      make("ol", { className: "alternatives" }, ...word.alternatives.map((one) => alternative(one, word, continueFrom))));
    if (word.other) parts.push(comparison(word, names));
  }
  parts.push(make("h3", { textContent: "What the memory did" }), memoryTable(word.layers[layer]));
  place.replaceChildren(...parts);
  place.hidden = false;
}

function figures(word) {
  const figure = (value, name) => make("div", {}, make("dd", { textContent: value }), make("dt", { textContent: name }));
  return make("dl", { className: "figures" }, figure(percent(word.probability), "probability"),
    figure(word.loss.toFixed(2), "loss in nats"), figure(ordinal(word.rank), "choice"));
}

function alternative([id, text, share], word, continueFrom) {
  const bar = make("i");
  bar.style.width = `${share * 100}%`;
  const button = make("button", { type: "button", className: "alternative" }, bar,
    make("span", { textContent: text }), make("span", { textContent: percent(share) }));
  if (id === word.id) button.setAttribute("aria-current", "true");
  button.addEventListener("click", () => continueFrom(id));
  return make("li", {}, button);
}

function comparison(word, names) {
  const row = (name, { probability, loss }, kind) => make("tr", {},
    make("th", { scope: "row", className: kind, textContent: name }),
    make("td", { textContent: percent(probability) }), make("td", { textContent: loss.toFixed(2) }));
  return make("table", { className: "compared" },
    make("tr", {}, make("th"), make("th", { scope: "col", textContent: "prob." }), make("th", { scope: "col", textContent: "nats" })),
    row(names[0], word, "first"), row(names[1], word.other, "second"));
}

function memoryTable({ to_input: heads, input_gate: written, forget_gate: kept, moved }) {
  const rows = [];
  const add = (name, values) => rows.push(make("tr", {}, make("th", { scope: "row", textContent: name }),
    make("td", {}, make("div", { className: "swatches" }, ...values.map(swatch)))));
  if (heads) add("attention, by\u00a0head", heads);
  if (written) add("input gate, by\u00a0slot", written);
  if (kept) add("forget gate, by\u00a0slot", kept);
  rows.push(make("tr", {}, make("th", { scope: "row", textContent: "memory moved" }),
    make("td", { textContent: `${(moved * 100).toFixed(0)} %` })));
  return make("table", { className: "did" }, ...rows);
}

export function swatch(value) {
  const element = make("span", { className: "swatch", textContent: value.toFixed(2) });
  element.style.background = viridis(value);
  element.style.color = inkOn(value);
  return element;
}
