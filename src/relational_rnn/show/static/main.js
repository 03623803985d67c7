// The tabs, and the runs that every view chooses from.

import { find } from "./elements.js";
import { setModels } from "./language.js";
import { openReasoning, setAnswerers } from "./reasoning.js";
import { get } from "./requests.js";
import { openRuns, setRuns } from "./runs.js";

const NAMES = ["language", "reasoning", "runs"];
const opened = { language: () => {}, reasoning: openReasoning, runs: openRuns };

let current = location.hash.slice(1);
if (!NAMES.includes(current)) current = "language";

function open(name) {
  current = name;
  for (const each of NAMES) {
    const tab = find(`tab-${each}`);
    tab.setAttribute("aria-selected", each === name);
    tab.tabIndex = each === name ? 0 : -1;
    find(each).hidden = each !== name;
  }
  history.replaceState(null, "", `#${name}`);
  opened[name]();
}

NAMES.forEach((name, place) => {
  const tab = find(`tab-${name}`);
  tab.addEventListener("click", () => open(name));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const next = NAMES[(place + step + NAMES.length) % NAMES.length];
    find(`tab-${next}`).focus();
    open(next);
  });
});

try {
  const runs = await get("/api/runs");
  setModels(runs);
  setAnswerers(runs);
  setRuns(runs);
} catch (error) {
  find("language-note").textContent = error.message;
  find("language-note").hidden = false;
}
open(current); // which may be another one than was asked for: the tabs work while the runs are read
