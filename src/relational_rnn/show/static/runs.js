// The view of the runs: their curves by task, drawn again as they train.

import { drawChart } from "./chart.js";
import { find, make, tell } from "./elements.js";
import { get } from "./requests.js";

const REFRESH_MILLISECONDS = 2000;
const COLOURS = 7; // --series-1 and so on in views.css: the palette of Okabe and Ito

let runs = [];
let curves = {};
let drawn = "";
let timer = null;

export function setRuns(found) {
  runs = found;
}

export function openRuns() {
  if (timer) return;
  timer = setInterval(() => { if (!document.hidden && !find("runs").hidden) refresh(); }, REFRESH_MILLISECONDS);
  refresh();
}

async function refresh() {
  try {
    [runs, curves] = await Promise.all([get("/api/runs"), get("/api/curves")]);
    const missing = runs.filter((run) => run.error).map((run) => run.error);
    tell(find("runs-note"), runs.length ? missing.join("\n") : "No runs yet. Train one: rrnn train demo-rmc");
  } catch (error) {
    tell(find("runs-note"), error.message);
  }
  draw();
}

function draw() {
  const state = JSON.stringify([runs, curves, against()]);
  if (state === drawn) return; // leaves the cursor alone
  drawn = state;
  const whole = runs.filter((run) => !run.error);
  const of = (run) => (run.data ? `${run.task}: ${run.data}` : run.task); // texts have perplexities of their own
  const tasks = [...new Set(whole.map(of))];
  find("tasks").replaceChildren(...tasks.map((task) => drawTask(task, whole.filter((run) => of(run) === task))));
}

const against = () => Number(document.querySelector("input[name=against]:checked").value);

function drawTask(task, members) {
  const looks = members.map((run, index) => ({
    run, colour: `var(--series-${(index % COLOURS) + 1})`, dashed: index >= COLOURS, curve: curves[run.id] ?? {},
  }));
  const measure = members[0].metric;
  const valid = make("div", { className: "chart" });
  const train = make("div", { className: "chart" });
  const lines = (kind) => looks.map(({ run, colour, dashed, curve }) => ({
    name: run.name, colour, dashed, points: (curve[kind] ?? []).map((point) => [point[against()], point[2]]),
  }));
  const showX = against() ? duration : (steps) => `${compact(steps)}${steps ? " steps" : ""}`;
  drawChart(valid, { title: `Validation ${measure} during training`, lines: lines("valid"), showX,
    showY: (value, brief) => figure(measure, value, brief), mayBeLogarithmic: measure === "perplexity" });
  drawChart(train, { title: "Training loss in nats", lines: lines("train"), showX,
    showY: (value, brief) => (brief ? String(value) : value.toPrecision(3)) });
  const heading = make("h2", { textContent: task.replace(/: .*[\\/]/, ": "), title: task }); // of a text, its folder's name
  return make("section", {}, heading, make("div", { className: "charts" }, valid, train),
    make("div", { className: "wide" }, table(measure, looks)));
}

function table(measure, looks) {
  const names = ["run", "core", "state", "steps", `best validation ${measure}`];
  return make("table", { className: "runs" },
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col", textContent: name })))),
    make("tbody", {}, ...looks.map(({ run, colour, curve }) => {
      const key = make("i", { className: "key" });
      key.style.background = colour;
      const steps = curve.train?.at(-1)?.[0] ?? curve.valid?.at(-1)?.[0];
      const state = make("span", { className: `state ${run.state}`, textContent: run.state });
      return make("tr", {}, make("th", { scope: "row" }, key, run.name), make("td", { textContent: run.core }),
        make("td", {}, state), make("td", { textContent: steps?.toLocaleString("en") ?? "–" }),
        make("td", { textContent: typeof run.best === "number" ? figure(measure, run.best) : curve.error ? "none yet" : "–" }));
    })));
}

// A value of the measure; a brief one stands at an axis.
function figure(measure, value, brief = false) {
  const number = measure === "accuracy" ? value * 100 : value;
  const digits = brief ? String(Number(number.toPrecision(3)))
    : measure === "accuracy" ? number.toFixed(1) : number.toPrecision(4);
  return measure === "accuracy" ? `${digits} %` : digits;
}

const compact = (value) =>
  value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 }).replace("K", "k");

function duration(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

for (const choice of document.querySelectorAll("input[name=against]")) choice.addEventListener("change", draw);
