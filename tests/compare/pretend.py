"""Stands in for the training of a run: quick, with results that its configuration decides.

The accuracy is highest at the learning rate 0.01, and rises by 0.01 with the seed. A run of a GRU
fails; with a file hold-RUN, a run waits until it is asked to stop; with full-RUN its disk is
full, with full-log for its log as well.
"""

import json
import signal
import sys
import time
from pathlib import Path

folder = Path(sys.argv[1])
lines = (folder / "config.yaml").read_text(encoding="utf-8").splitlines()
config = dict(line.split(": ", 1) for line in lines if ": " in line)
rate, seed = float(config["learning_rate"]), int(config["seed"])
with open(folder / "begun.txt", "a", encoding="utf-8") as begun:
    print("begun", file=begun)
if config["model"] == "gru":
    print("error: no such core here", file=sys.stderr)
    sys.exit(2)
if Path(f"full-{folder.name}").exists():
    if not Path("full-log").exists():
        print("error: last.ckpt: the disk is full", file=sys.stderr)
    sys.exit(3)
stop = []
signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
while Path(f"hold-{folder.name}").exists():
    if stop:
        sys.exit(128 + signal.SIGTERM)
    time.sleep(0.01)
accuracy = 0.5 + (0.2 if rate == 0.01 else 0.1) + 0.01 * seed
with open(folder / "metrics.csv", "w", encoding="utf-8") as metrics:
    print("step,examples,seconds,cpu_seconds,valid_loss,valid_accuracy", file=metrics)
    print(f"5,40,2.0,{1.5 + seed},0.7,0.5", file=metrics)
    print(f"10,80,4.0,{3.0 + seed},0.6,{accuracy}", file=metrics)
scores = {"loss": 0.5, "accuracy": accuracy, "answer_accuracy": 0.1, "examples": 30}
summary = {
    "parameters": 6300,
    "seconds": 4.0,
    "cpu_seconds": 3.0 + seed,
    "valid": scores,
    "test": scores | {"accuracy": accuracy - 0.05},
    "by_difficulty": [{"length": 8, **scores}, {"length": 16, **scores, "accuracy": 0.5}],
    "commit": "0" * 40,
    "versions": {"torch": "2"},
    "machine": {"processor": "<P>"},
}
# Whole or not at all, as training writes it: the queue may read it at any moment.
(folder / "summary.tmp").write_text(json.dumps(summary), encoding="utf-8")
(folder / "summary.tmp").rename(folder / "summary.json")
