// A chart of several lines, with a cursor that reads them.

import { make, makeSvg } from "./elements.js";

const WIDTH = 560, HEIGHT = 300;
const LEFT = 52, RIGHT = 24, TOP = 12, BOTTOM = 30;
const WIDE = 5; // values that differ by more than this factor are drawn on a logarithmic axis
const TICKS = 5;

// Each line is { name, colour, dashed, points: [[x, y], ...] }; `showX` and `showY` write their values.
export function drawChart(place, { title, lines, showX, showY, mayBeLogarithmic }) {
  const points = lines.flatMap((line) => line.points);
  const svg = makeSvg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: 0, "aria-label": `${title}: ${summary(lines, showY)}` });
  const reading = make("p", { className: "reading", "aria-hidden": "true" });
  place.replaceChildren(make("h3", { textContent: title }), svg, reading);
  if (!points.length) {
    reading.textContent = "nothing measured yet";
    return;
  }
  const ys = points.map(([, y]) => y);
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const logarithmic = mayBeLogarithmic && low > 0 && high > WIDE * low;
  const scale = logarithmic ? Math.log : (value) => value;
  const room = (scale(high) - scale(low)) * 0.05 || 0.5;
  const [bottom, top] = [scale(low) - room, scale(high) + room];
  const right = Math.max(...points.map(([x]) => x)) || 1;
  const toX = (x) => LEFT + (x / right) * (WIDTH - LEFT - RIGHT);
  const toY = (y) => HEIGHT - BOTTOM - ((scale(y) - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM);
  drawAxes(svg, { toX, toY, right, showX, showY,
    ticks: logarithmic ? logarithmicTicks(low, high) : linearTicks(low, high) });
  for (const { colour, dashed, points: own } of lines) {
    const d = own.map(([x, y], index) => `${index ? "L" : "M"}${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`).join("");
    svg.append(makeSvg("path", { d, class: `line${dashed ? " dashed" : ""}`, stroke: colour }));
    if (own.length === 1) svg.append(makeSvg("circle", { cx: toX(own[0][0]), cy: toY(own[0][1]), r: 3, fill: colour }));
  }
  addCursor(svg, reading, { lines, toX, right, showX, showY });
}

const summary = (lines, showY) => lines
  .map((line) => `${line.name} ${line.points.length ? showY(line.points.at(-1)[1]) : "nothing yet"}`).join(", ");

function drawAxes(svg, { toX, toY, right, ticks, showX, showY }) {
  for (const y of ticks) {
    svg.append(makeSvg("path", { class: "grid", d: `M${LEFT} ${toY(y)}H${WIDTH - RIGHT}` }),
      makeSvg("text", { x: LEFT - 8, y: toY(y), dy: "0.32em", class: "tick left" }, showY(y, true)));
  }
  for (const x of linearTicks(0, right)) {
    svg.append(makeSvg("text", { x: toX(x), y: HEIGHT - 8, class: "tick" }, showX(x)));
  }
}

function linearTicks(low, high) {
  const rough = (high - low || Math.abs(high) || 1) / TICKS;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * size).find((value) => value >= rough);
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high; n += 1) ticks.push(Number((n * step).toPrecision(12)));
  return ticks;
}

function logarithmicTicks(low, high) {
  const ticks = [];
  for (let size = 10 ** Math.floor(Math.log10(low)); size <= high; size *= 10) {
    for (const factor of [1, 2, 5]) if (factor * size >= low && factor * size <= high) ticks.push(factor * size);
  }
  return ticks;
}

function addCursor(svg, reading, { lines, toX, right, showX, showY }) {
  const cursor = makeSvg("path", { class: "cursor" });
  svg.append(cursor);
  let at = null;
  const show = () => {
    cursor.setAttribute("d", at === null ? "" : `M${toX(at)} ${TOP}V${HEIGHT - BOTTOM}`);
    reading.replaceChildren(make("span", { textContent: at === null ? "last" : showX(at) }),
      ...lines.filter((line) => line.points.length).map((line) => {
        const key = make("i");
        key.style.background = line.colour;
        return make("span", {}, key, `${line.name} ${showY(nearest(line.points, at ?? right)[1])}`);
      }));
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) * WIDTH) / box.width;
    at = Math.min(Math.max(((x - LEFT) / (WIDTH - LEFT - RIGHT)) * right, 0), right);
    show();
  });
  svg.addEventListener("pointerleave", () => { at = null; show(); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(Math.max((at ?? right) + step * right, 0), right);
    show();
  });
  show();
}

const nearest = (points, x) => points.reduce((best, point) =>
  (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
