"""Stands in for a trial's process: quick, and with a "checkpoint" as in training.

The number of heads decides what happens: 3 raises an error, 4 is killed each time, 5 is killed the
first time, 6 leaves a summary without results. A file hold-trial-0001 holds that trial after step
4, until it is asked to stop.
"""

import json
import os
import select
import signal
import sys
import time
from pathlib import Path

assert "LOCAL_RANK" not in os.environ
folder = Path(sys.argv[1])
lines = (folder / "config.yaml").read_text(encoding="utf-8").splitlines()
config = dict(line.split(": ", 1) for line in lines if ": " in line)
heads, rate = int(config["num_heads"]), float(config["learning_rate"])
last, metrics = folder / "checkpoints" / "last.ckpt", folder / "metrics.csv"
step = int(last.read_text(encoding="utf-8")) if last.exists() else 0
if not step:
    metrics.write_text("step,valid_perplexity\n", encoding="utf-8")
with open(folder / "begun.txt", "a", encoding="utf-8") as begun:
    print(step, file=begun)
stop = []
signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
perplexity = 0.0
while step < int(config["max_steps"]):
    step += 1
    perplexity = 1000 * rate + 10 / step
    if step % int(config["validate_every"]) == 0:
        with open(metrics, "a", encoding="utf-8") as file:
            print(f"{step},{perplexity}", file=file)
    last.write_text(str(step), encoding="utf-8")
    if heads == 3:
        raise RuntimeError("no such number of heads")
    if heads == 4 or (heads == 5 and step == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        left_alone = select.select([0], [], [], 0)[0]
        if stop or left_alone:
            sys.exit(128 + signal.SIGTERM)
        time.sleep(0.01)
        if not (step == 4 and Path(f"hold-{folder.name}").exists()):
            break
scores = {"perplexity": perplexity}
summary = {"parameters": 10 * heads, "seconds": 1.5, "valid": scores, "test": scores}
(folder / "summary.json").write_text(json.dumps({} if heads == 6 else summary), encoding="utf-8")
