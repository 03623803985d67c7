// Vectors as points in a plane, which a user moves by dragging or with the arrow keys.

import { makeSvg } from "./elements.js";

const SIZE = 400; // units of the drawing
const EDGE = 28;
const KEY_STEP = 0.05;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Plane {
  constructor(svg, moved) {
    this.svg = svg;
    this.moved = moved;
    svg.setAttribute("viewBox", `0 0 ${SIZE} ${SIZE}`);
  }

  // Draws an example; `mean` [F] and `basis` [2][F] are its plane.
  show(example) {
    Object.assign(this, { example, points: [] });
    const places = example.vectors.map((vector) => this.place(vector));
    this.reach = Math.max(1, ...places.flat().map((value) => Math.abs(value) * 1.05));
    this.svg.replaceChildren();
    const frame = { x: EDGE, y: EDGE, width: SIZE - 2 * EDGE, height: SIZE - 2 * EDGE, rx: 4, class: "frame" };
    this.svg.append(makeSvg("rect", frame), makeSvg("path", { class: "axes", d: this.axes() }));
    this.lines = example.ids.map(() => makeSvg("line", { class: "distance" }));
    this.svg.append(...this.lines);
    example.ids.forEach((id, index) => this.addPoint(id, index));
    this.draw();
  }

  axes() {
    const middle = SIZE / 2;
    return `M${EDGE} ${middle}H${SIZE - EDGE}M${middle} ${EDGE}V${SIZE - EDGE}`;
  }

  addPoint(id, index) {
    const point = makeSvg("g", { class: "point", tabindex: 0, role: "button", "aria-roledescription": "movable point" },
      makeSvg("circle", { r: 22, class: "reach" }), makeSvg("circle", { r: 15, class: "ring" }),
      makeSvg("circle", { r: 13, class: "dot" }), makeSvg("text", { dy: "0.36em" }, String(id)));
    point.addEventListener("pointerdown", (event) => {
      point.setPointerCapture(event.pointerId);
      point.focus();
      event.preventDefault();
    });
    point.addEventListener("pointermove", (event) => {
      if (point.hasPointerCapture(event.pointerId)) this.move(index, this.under(event));
    });
    point.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      const [x, y] = this.place(this.example.vectors[index]);
      this.move(index, [x + step[0] * KEY_STEP, y + step[1] * KEY_STEP]);
    });
    this.points.push(point);
    this.svg.append(point);
  }

  place(vector) {
    const { mean, basis } = this.example;
    return basis.map((axis) => axis.reduce((sum, value, f) => sum + value * (vector[f] - mean[f]), 0));
  }

  under(event) {
    const box = this.svg.getBoundingClientRect();
    const scale = SIZE / box.width;
    return [this.fromX((event.clientX - box.left) * scale), this.fromY((event.clientY - box.top) * scale)];
  }

  toX = (x) => SIZE / 2 + (x / this.reach) * (SIZE / 2 - EDGE);
  toY = (y) => SIZE / 2 - (y / this.reach) * (SIZE / 2 - EDGE);
  fromX = (x) => ((x - SIZE / 2) / (SIZE / 2 - EDGE)) * this.reach;
  fromY = (y) => ((SIZE / 2 - y) / (SIZE / 2 - EDGE)) * this.reach;

  // Moves a vector by what its point moves in the plane; what the plane does not show stays.
  move(index, [x, y]) {
    const vector = this.example.vectors[index];
    const [oldX, oldY] = this.place(vector);
    const [first, second] = this.example.basis;
    this.example.vectors[index] = vector.map((value, f) =>
      Math.min(1, Math.max(-1, value + (x - oldX) * first[f] + (y - oldY) * second[f])));
    this.draw();
    this.moved();
  }

  // Marks the points: `shares` [O] of the answer by id, how many have been `seen`, and the one `now`.
  mark({ shares, seen, now }) {
    const best = shares.indexOf(Math.max(...shares));
    this.points.forEach((point, index) => {
      const id = this.example.ids[index];
      point.style.setProperty("--share", `${Math.round(shares[id] * 100)}%`);
      point.classList.toggle("best", id === best);
      point.classList.toggle("unseen-yet", index >= seen);
      point.classList.toggle("now", index === now);
      point.classList.toggle("strong", shares[id] > 0.55);
    });
  }

  draw() {
    const { ids, vectors, m } = this.example;
    const reference = this.place(vectors[ids.indexOf(m)]);
    vectors.forEach((vector, index) => {
      const [x, y] = this.place(vector);
      const point = this.points[index];
      point.setAttribute("transform", `translate(${this.toX(x)} ${this.toY(y)})`);
      point.classList.toggle("reference", ids[index] === m);
      const asked = ids[index] === m ? ", the one that is asked about" : "";
      point.setAttribute("aria-label", `object ${ids[index]} at ${x.toFixed(2)}, ${y.toFixed(2)}${asked}`);
      const ends = { x1: this.toX(reference[0]), y1: this.toY(reference[1]), x2: this.toX(x), y2: this.toY(y) };
      for (const [name, value] of Object.entries(ends)) this.lines[index].setAttribute(name, value);
    });
  }
}
