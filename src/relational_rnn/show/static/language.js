// The language view: words stream in, each with what the memory did when it read it.

import { announce, fill, find, make, percent, tell } from "./elements.js";
import { events } from "./requests.js";
import { Staff, legend, memoryRows } from "./staff.js";
import { describe } from "./word.js";

const MOST_NATS = 12; // a bar of the surprise is full
const MOST_MOVED = 1.5;
const MOST_AHEAD = 4; // nats between two models

let words = []; // as the server sends them, with `given`: typed or chosen by the visitor
let names = ["", ""]; // of the model, and of the one that it is compared with
let writing = null; // the AbortController of a request in progress
let models = [];

const staff = new Staff(find("staff"), (index) => show(index));
const comparing = () => words.some((word) => word.other);

export function setModels(runs) {
  models = runs.filter((run) => run.task === "language-modeling" && run.trained && !run.error);
  fill(find("reader"), models.map((run) => [run.id, `${run.name} · ${run.core}`]));
  offerComparisons();
  const none = !models.length;
  for (const id of ["write-on", "read-only"]) find(id).disabled = none;
  if (none) tell(find("language-note"), "No language model among the runs shown.");
}

function offerComparisons() {
  const chosen = models.find((run) => run.id === find("reader").value);
  const fitting = models.filter((run) => run !== chosen && run.vocabulary === chosen?.vocabulary);
  const none = fitting.length ? "no other" : "no other of its words";
  fill(find("compare"), [["", none], ...fitting.map((run) => [run.id, `${run.name} · ${run.core}`])]);
  find("compare").disabled = !fitting.length;
}

async function write(text, count) {
  writing?.abort();
  const own = writing = new AbortController();
  const [reader, compare] = [find("reader"), find("compare")];
  const known = text.known ?? 0;
  words = words.slice(0, known);
  if (!known) staff.clear();
  staff.cut(known);
  tell(find("language-note"), null);
  find("word").hidden = true;
  find("write-on").textContent = "Stop";
  names = [reader, compare].map((select) => select.selectedOptions[0]?.textContent ?? "");
  const body = {
    run: reader.value, compare: compare.value || null, words: count,
    temperature: Number(find("temperature").value), ...text,
  };
  try {
    for await (const { kind, data } of events("/api/text", body, own.signal)) {
      if (kind === "note" || kind === "refused") tell(find("language-note"), data);
      if (kind === "word") add(data, text.known ? words.length === text.tokens.length - 1 : !data.drawn);
    }
    announce(`${words.length} words: ${words.map((word) => word.word).join(" ")}`);
  } catch (error) {
    if (error.name !== "AbortError") tell(find("language-note"), error.message);
  }
  if (writing === own) {
    writing = null;
    find("write-on").textContent = "Write on";
  }
}

function add(word, given) {
  word.given = given;
  words.push(word);
  if (words.length === 1) offerLayers(word);
  staff.add(column(word));
  judge();
}

function column(word) {
  const layer = word.layers[Number(find("layer").value) || 0];
  const rows = [{ name: "surprise", short: "loss", height: 26, bar: (word.loss ?? 0) / MOST_NATS }];
  const ahead = word.other ? (word.other.loss - word.loss) / MOST_AHEAD : 0;
  if (find("compare").value) {
    rows.push({ name: "whose guess", short: "who", height: 26, ahead: Math.max(-1, Math.min(1, ahead)) });
  }
  rows.push(...memoryRows(layer));
  if (layer.moved !== null) {
    rows.push({ name: "memory moved", short: "moved", height: 20, bar: layer.moved / MOST_MOVED });
  }
  const share = word.probability === null ? "the first" : percent(word.probability);
  const strength = Math.min(Math.abs(ahead) * 55 + 8, 60);
  return {
    text: word.word, rows, given: word.given, breaks: word.word === "↵" && words.length > 1,
    label: `${word.word}, ${share}`,
    tint: word.other &&
      `color-mix(in srgb, var(${ahead > 0 ? "--accent" : "--second"}) ${strength}%, transparent)`,
  };
}

function offerLayers(word) {
  find("layer-choice").hidden = word.layers.length < 2;
  fill(find("layer"), word.layers.map((_, index) => [String(index), String(index + 1)]));
  const { to_input: heads, input_gate: gate } = word.layers[0];
  const explained = [["surprise", `loss of the word, up to ${MOST_NATS} nats`]];
  if (find("compare").value) explained.push(["whose guess", "up: the model, down: the other"]);
  if (heads) {
    explained.push(["attention to it", `of the memory to the incoming word, ${count(heads, "head")}`]);
  }
  if (gate) {
    explained.push(["input gate", `1 writes, ${count(gate, "slot")}`], ["forget gate", "1 keeps"]);
  }
  explained.push(["memory moved", "distance to the memory before, relative to its size"]);
  legend(find("staff-legend"), explained);
}

const count = (list, what) => (list.length === 1 ? `one ${what}` : `${list.length} ${what}s`);

// The perplexities of two models over the words so far.
function judge() {
  const judged = words.filter((word) => word.other);
  if (!comparing()) return tell(find("verdict"), null);
  const perplexity = (losses) => Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / losses.length);
  const figures = [judged.map((word) => word.loss), judged.map((word) => word.other.loss)].map(perplexity);
  const won = judged.filter((word) => word.loss < word.other.loss).length;
  const drawn = words.some((word) => word.drawn)
    ? " The model wrote the words that nobody typed, which favours it: only read a text to be fair." : "";
  find("verdict").replaceChildren(
    make("b", { className: "first", textContent: names[0] }), ` perplexity ${figures[0].toFixed(1)}, `,
    make("b", { className: "second", textContent: names[1] }), ` ${figures[1].toFixed(1)}. `,
    `The first gave ${won} of ${judged.length} words the higher probability.${drawn}`);
  find("verdict").hidden = false;
}

function show(index) {
  staff.select(index);
  describe(find("word"), words[index], names, Number(find("layer").value) || 0, (id) => {
    const tokens = [...words.slice(0, index).map((word) => word.id), id];
    write({ tokens, known: index }, Number(find("words").value));
  });
}

find("write").addEventListener("submit", (event) => {
  event.preventDefault();
  if (writing) writing.abort();
  else write({ prompt: find("prompt").value }, Number(find("words").value));
});
find("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  find("write").requestSubmit();
});
find("read-only").addEventListener("click", () => write({ prompt: find("prompt").value }, 0));
find("reader").addEventListener("change", offerComparisons);
find("layer").addEventListener("change", () => {
  words.forEach((word, index) => staff.draw(index, column(word)));
  staff.name();
  if (staff.chosen >= 0) show(staff.chosen);
});
find("temperature").addEventListener("input", () => {
  find("temperature-value").textContent = Number(find("temperature").value).toFixed(1);
});
