// The language view: words stream in, each with what the memory did when it read it.

import { announce, fill, find, make, ordinal, percent, tell } from "./elements.js";
import { events } from "./requests.js";
import { Staff, legend, memoryRows } from "./staff.js";
import { describe } from "./word.js";

const MOST_NATS = 12; // a bar of the surprise is full
const MOST_MOVED = 1.5;
const MOST_AHEAD = 4; // nats between two models

let words = []; // as the server sends them
let told = { reader: "", compare: "", names: ["", ""] }; // whose text it is
let writing = null; // the AbortController of a request in progress
let models = [];

const staff = new Staff(find("staff"), (index) => show(index));

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
  const paired = models.find((one) => models.some((other) => other !== one && other.vocabulary === one.vocabulary));
  const none = fitting.length ? "nothing" : paired ? `none fits; ${paired.name} has one` : "no model shares its vocabulary";
  fill(find("compare"), [["", none], ...fitting.map((run) => [run.id, `${run.name} · ${run.core}`])]);
  find("compare").disabled = !fitting.length;
}

// Writes `count` words after a text, which is a prompt, or tokens of which the first are known.
async function write(text, count) {
  writing?.abort();
  const own = writing = new AbortController();
  const known = text.known ?? 0;
  if (!known) {
    const [reader, compare] = [find("reader"), find("compare")];
    const names = [reader, compare].map((select) => select.selectedOptions[0]?.textContent ?? "");
    told = { reader: reader.value, compare: compare.value, names };
  }
  words = words.slice(0, known);
  if (!known) staff.clear();
  staff.cut(known);
  tell(find("language-note"), null);
  close();
  find("write-on").textContent = "Stop";
  const body = {
    run: told.reader, compare: told.compare || null, words: count,
    temperature: Number(find("temperature").value), ...text,
  };
  try {
    for await (const { kind, data } of events("/api/text", body, own.signal)) {
      if (kind === "note" || kind === "refused") tell(find("language-note"), data);
      if (kind === "word") add(data);
    }
    announce(`${words.length} words: ${words.map((word) => word.word).join(" ")}`);
  } catch (error) {
    if (error.name !== "AbortError") tell(find("language-note"), error.message);
  }
  if (writing === own) {
    writing = null;
    find("write-on").textContent = "Generate";
  }
}

function add(word) {
  words.push(word);
  if (words.length === 1) offerLayers(word);
  staff.add(column(word));
  judge();
}

function column(word) {
  const layer = word.layers[Number(find("layer").value) || 0];
  const rows = [{ name: "surprise", height: 26, bar: (word.loss ?? 0) / MOST_NATS }];
  const ahead = word.other ? (word.other.loss - word.loss) / MOST_AHEAD : 0;
  if (told.compare) {
    rows.push({ name: "advantage", height: 26, ahead: Math.max(-1, Math.min(1, ahead)) });
  }
  rows.push(...memoryRows(layer));
  rows.push({ name: "memory moved", height: 20, bar: layer.moved / MOST_MOVED });
  const before = words[words.indexOf(word) - 1];
  const breaks = words.indexOf(word) > 1 && before.word === "↵" && word.word !== "↵";
  const share = word.probability === null ? "the first" : percent(word.probability);
  const strength = Math.min(Math.abs(ahead) * 55 + 8, 60);
  return {
    text: word.word, rows, given: !word.drawn, breaks,
    label: `${word.word}, ${share}`,
    tint: word.other &&
      `color-mix(in srgb, var(${ahead > 0 ? "--accent" : "--second"}) ${strength}%, transparent)`,
  };
}

function offerLayers(word) {
  find("layer-choice").hidden = word.layers.length < 2;
  fill(find("layer"), word.layers.map((_, index) => [String(index), String(index + 1)]));
  const { to_input: heads, input_gate: gate } = word.layers[0];
  const explained = [["surprise", `loss of the word, full at ${MOST_NATS} nats`]];
  if (told.compare) {
    explained.push(["advantage", `up: ${told.names[0]}, down: ${told.names[1]}, full at ${MOST_AHEAD} nats`]);
  }
  if (heads) {
    explained.push(["attention", `of the memory to the incoming word, ${count(heads, "head")}`]);
  }
  if (gate) {
    explained.push(["input gate", `1 writes, ${count(gate, "slot")}`], ["forget gate", "1 keeps"]);
  }
  explained.push(["memory moved", `distance to the memory before the word, full at ${100 * MOST_MOVED} % of its norm`]);
  legend(find("staff-legend"), explained);
}

const count = (list, what) => (list.length === 1 ? `one ${what}` : `${list.length} ${what}s`);

// The perplexities of two models over the words so far.
function judge() {
  const judged = words.filter((word) => word.other);
  if (!judged.length) return tell(find("verdict"), null);
  const perplexity = (losses) => Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / losses.length);
  const figures = [judged.map((word) => word.loss), judged.map((word) => word.other.loss)].map(perplexity);
  const won = judged.filter((word) => word.loss < word.other.loss).length;
  const drawn = words.some((word) => word.drawn)
    ? " The generated words are the first model's own, which favours it; “Read only” compares both on a text of yours." : "";
  find("verdict").replaceChildren(
    make("b", { className: "first", textContent: told.names[0] }), ` perplexity ${figures[0].toFixed(1)}, `,
    make("b", { className: "second", textContent: told.names[1] }), ` ${figures[1].toFixed(1)}. `,
    `The first gave ${won} of ${judged.length} words the higher probability.${drawn}`);
  find("verdict").hidden = false;
}

function show(index) {
  const word = words[index];
  staff.select(index);
  describe(find("word"), word, told.names, Number(find("layer").value) || 0, {
    close,
    continueFrom: (id) => {
      const tokens = [...words.slice(0, index).map((each) => each.id), id];
      write({ tokens, known: index }, Number(find("words").value));
    },
  });
  if (word.probability === null) return announce("The beginning of the text");
  const [, likeliest, share] = word.alternatives[0];
  announce(`${word.word}: ${percent(word.probability)}, ${ordinal(word.rank)} choice; `
    + `the model expected ${likeliest} with ${percent(share)}`);
}

function close() {
  find("word").hidden = true;
  staff.select(-1);
}

find("write").addEventListener("submit", (event) => {
  event.preventDefault();
  if (writing) writing.abort();
  else write({ prompt: find("prompt").value }, Number(find("words").value));
});
find("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (models.length) find("write").requestSubmit();
});
find("read-only").addEventListener("click", () => write({ prompt: find("prompt").value }, 0));
find("reader").addEventListener("change", offerComparisons);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
find("layer").addEventListener("change", () => {
  words.forEach((word, index) => staff.draw(index, column(word)));
  staff.name();
  if (staff.selected >= 0) show(staff.selected);
});
find("temperature").addEventListener("input", () => {
  find("temperature-value").textContent = Number(find("temperature").value).toFixed(1);
});
