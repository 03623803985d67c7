// The reasoning view: a question about points, the answer, and the memory at each step.

import { drawHeads } from "./attention.js";
import { fill, find, make, ordinal, percent, tell } from "./elements.js";
import { Plane } from "./plane.js";
import { post } from "./requests.js";
import { Staff, legend, memoryRows } from "./staff.js";

const PLAY_MILLISECONDS = 900;

let models = [];
let example = null;
let answer = null;
let asking = false; // one question at a time is under way; the points may have moved on
let askAgain = false;
let playing = null;

const plane = new Plane(find("plane"), () => ask());
const staff = new Staff(find("steps"), (index) => toStep(index));
let drawn = 0; // examples asked for
const lastStep = () => example.ids.length - 1;

export function setAnswerers(runs) {
  models = runs.filter((run) => run.task === "nth-farthest" && run.trained && !run.error);
  fill(find("answerer"), models.map((run) => [run.id, `${run.name} · ${run.core}`]));
  find("reasoning-all").hidden = !models.length;
  if (!models.length) {
    tell(find("reasoning-note"), "No model of Nth farthest is shown. Train one in a few minutes, then open "
      + "this page again: rrnn train cpu-nth-farthest");
  }
}

export function openReasoning() {
  if (models.length && !example) newExample();
}

async function newExample() {
  stop();
  const own = ++drawn;
  const run = find("answerer").value;
  try {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const found = await post("/api/example", { run, seed });
    if (own !== drawn) return; // another one was asked for meanwhile
    example = { run, ...found };
  } catch (error) {
    return tell(find("reasoning-note"), error.message);
  }
  answer = null;
  staff.clear();
  plane.show(example);
  const ids = [...example.ids].sort((a, b) => a - b);
  fill(find("ask-m"), ids.map((id) => [String(id), String(id)]));
  fill(find("ask-n"), ids.map((_, n) => [String(n), rank(n)]));
  find("ask-m").value = example.m;
  find("ask-n").value = example.n;
  find("step").max = lastStep();
  find("step").value = lastStep();
  const features = example.vectors[0].length;
  find("plane-note").textContent = features <= 2
    ? "The plane is the vectors' own: distances are as they look."
    : `Vectors have ${features} features; the plane of their first two principal components shows `
      + `${percent(example.share)} of their variance, so distances differ from how they look.`;
  await ask();
}

// The rank n in words; which end is counted from is the run's.
function rank(n) {
  const last = example.ids.length - 1;
  const own = "itself";
  if (example.order === "nearest") return n === 0 ? own : n === 1 ? "the nearest" : `the ${ordinal(n)} nearest`;
  return n === last ? own : n === 0 ? "the farthest" : `the ${ordinal(n + 1)} farthest`;
}

async function ask() {
  askAgain = asking;
  if (asking) return;
  asking = true;
  const { run, vectors, ids, m, n } = example;
  const own = example;
  try {
    const found = await post("/api/answer", { run, vectors, ids, m, n });
    if (own === example) { // or another one was drawn meanwhile
      answer = found;
      tell(find("reasoning-note"), null);
      show();
    }
  } catch (error) {
    tell(find("reasoning-note"), error.message);
  }
  asking = false;
  if (askAgain) await ask();
}

function show() {
  offerLayers();
  example.ids.forEach((id, index) => {
    if (index < staff.columns.length) staff.draw(index, column(index));
    else staff.add(column(index));
  });
  toStep(Number(find("step").value));
}

function offerLayers() {
  const layers = answer.layers;
  find("layer-choice-2").hidden = layers.length < 2;
  fill(find("layer-2"), layers.map((_, index) => [String(index), String(index + 1)]));
  const explained = [["correct answer", "its probability if the model answered after this step"]];
  if (layers.length) {
    explained.push(["attention", "of each head to the incoming vector, mean over the slots"]);
    if (layers[0].input_gate) explained.push(["input gate", "1 writes, by slot"], ["forget gate", "1 keeps, by slot"]);
  }
  legend(find("reasoning-legend"), explained);
}

const layer = () => answer.layers[Number(find("layer-2").value) || 0];

function column(step) {
  const id = example.ids[step];
  const share = answer.probabilities[step][answer.correct];
  const rows = [{ name: "correct answer", height: 26, bar: share }];
  if (layer()) {
    const { attention, input_gate: written, forget_gate: kept } = layer();
    rows.push(...memoryRows({
      to_input: attention[step].map(toInput), input_gate: written?.[step], forget_gate: kept?.[step],
    }));
  }
  return { text: id === example.m ? `${id} = m` : String(id), rows,
    label: `step ${step + 1}: object ${id}, correct answer ${percent(share)}` };
}

// The attention of a head [N][N + n] to the input, mean over the slots.
function toInput(matrix) {
  const shares = matrix.map((row) => row.slice(matrix.length).reduce((sum, share) => sum + share, 0));
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

function toStep(step) {
  if (!answer) return;
  find("step").value = step;
  find("step-value").textContent = `step ${step + 1} of ${lastStep() + 1}: object ${example.ids[step]}`;
  staff.select(step);
  const shares = answer.probabilities[step];
  plane.mark({ shares, seen: step + 1, now: step < lastStep() ? step : -1 });
  say(shares, step);
  if (layer()) drawHeads(find("heads"), layer().attention[step]);
  else tell(find("heads"), "This model has no memory slots to look into.");
}

function say(shares, step) {
  const best = shares.indexOf(Math.max(...shares));
  const right = best === answer.correct;
  const when = step < lastStep() ? `After ${step + 1} of ${lastStep() + 1} vectors the model would answer ` : "The model answers ";
  find("said").replaceChildren(when, make("b", { textContent: String(best) }), ` (${percent(shares[best])}). `,
    make("span", { className: right ? "right" : "wrong", textContent: right ? "Correct." : `Correct: ${answer.correct}.` }));
  const ids = shares.map((_, id) => id).sort((a, b) => answer.distances[a] - answer.distances[b]);
  find("answers").replaceChildren(
    make("tr", {}, ...["object", "distance", "answer"].map((name) => make("th", { scope: "col", textContent: name }))),
    ...ids.map((id) => answerRow(id, shares[id], id === best)));
}

function answerRow(id, share, best) {
  const bar = make("i");
  bar.style.width = `${share * 100}%`;
  const marks = `${id === example.m ? " = m" : ""}${id === answer.correct ? " ✓" : ""}`;
  const row = make("tr", {}, make("th", { scope: "row", textContent: `${id}${marks}` }),
    make("td", { textContent: answer.distances[id].toFixed(2) }),
    make("td", { className: "share" }, bar, make("span", { textContent: percent(share) })));
  row.classList.toggle("best", best);
  return row;
}

function play() {
  if (playing || !answer) return stop();
  find("play").textContent = "Pause";
  find("play").setAttribute("aria-pressed", "true");
  if (Number(find("step").value) === lastStep()) toStep(0);
  playing = setInterval(() => {
    const next = Number(find("step").value) + 1;
    if (next <= lastStep()) toStep(next);
    if (next >= lastStep()) stop();
  }, PLAY_MILLISECONDS);
}

function stop() {
  clearInterval(playing);
  playing = null;
  find("play").textContent = "Play";
  find("play").setAttribute("aria-pressed", "false");
}

function asked() {
  example.m = Number(find("ask-m").value);
  example.n = Number(find("ask-n").value);
  plane.draw();
  ask();
}

find("answerer").addEventListener("change", newExample);
find("new-example").addEventListener("click", newExample);
find("ask-m").addEventListener("change", asked);
find("ask-n").addEventListener("change", asked);
find("layer-2").addEventListener("change", show);
find("step").addEventListener("input", () => toStep(Number(find("step").value)));
find("play").addEventListener("click", play);
