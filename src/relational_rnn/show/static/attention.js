// The attention of every head at one step, as tables of colours.

import { make } from "./elements.js";
import { inkOn, viridis } from "./viridis.js";

const MOST_FIGURES = 9; // columns up to which the numbers are written into the cells

// `attention` is [H][N][N + n]: queries are slots, keys are the slots and the input.
export function drawHeads(place, attention) {
  place.replaceChildren(...attention.map((matrix, head) => drawHead(matrix, `head ${head}`)));
}

function drawHead(matrix, title) {
  const slots = matrix.length;
  const inputs = matrix[0].length - slots;
  const columns = matrix[0].map((_, key) => {
    if (key < slots) return `s${key}`;
    return inputs === 1 ? "in" : `in ${key - slots}`;
  });
  const dense = columns.length > MOST_FIGURES ? " dense" : "";
  const table = make("table", { className: `head${dense}` },
    make("caption", { textContent: title }),
    make("tr", {}, make("th"), ...columns.map((name) => make("th", { scope: "col", textContent: name }))));
  matrix.forEach((row, slot) => {
    table.append(make("tr", {}, make("th", { scope: "row", textContent: `s${slot}` }),
      ...row.map((share, key) => cell(share, key === slots))));
  });
  return table;
}

function cell(share, isInput) {
  const element = make("td", { textContent: share.toFixed(2).replace(/^0/, "") });
  element.style.background = viridis(share);
  element.style.color = inkOn(share);
  element.classList.toggle("input", isInput);
  return element;
}
