"""A corpus of any size is prepared and read in bounded memory.

``RRNN_SCALE_TOKENS=103000000 RRNN_SCALE_WORDS=267735 pytest -m slow -s tests/.../test_scale.py``
does it at the size of WikiText-103 and prints what it took.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

TOKENS = int(os.environ.get("RRNN_SCALE_TOKENS", 3_000_000))
WORDS = int(os.environ.get("RRNN_SCALE_WORDS", 70_000))

MEASURED = """
import json, sys, time
import torch
from relational_rnn.tasks.language_modeling import open_corpus
from relational_rnn.tasks.language_modeling.batching import Windows, streams

def memory(name):
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))

def stopwatch():
    global start
    start, seconds = time.perf_counter(), time.perf_counter() - start
    return round(seconds, 2)

folder, cache = sys.argv[1:]
start = time.perf_counter()
before = memory("VmRSS")
corpus = open_corpus(folder, cache_dir=cache)
found = corpus.summary() | {"prepare_s": stopwatch(), "prepare_mb": memory("VmHWM") - before}
open_corpus(folder, cache_dir=cache)
found["open_s"] = stopwatch()

before = memory("RssAnon")
loader = Windows(streams(corpus.tokens["train"], 64), bptt=100)
read = 0
for inputs, targets in loader:
    if loader.done == len(loader) // 2:
        state = loader.state_dict()
    read += targets.numel()
found |= {"windows": len(loader), "epoch_s": stopwatch(), "epoch_mb": memory("RssAnon") - before}
found |= {"targets": read, "mapped_mb": memory("RssFile")}

stopwatch()
resumed = Windows(streams(corpus.tokens["train"], 64), bptt=100)
resumed.load_state_dict(state)
rest = sum(targets.numel() for _, targets in resumed)
found |= {"resumed": rest, "half": (len(loader) - state["done"]) / len(loader)}
print(json.dumps(found))
"""


def write_text(path, *, lines, words):
    """Lines of 24 words: each word once, then words drawn by Zipf's law."""
    names = np.array(["<unk>", *(f"word{number}" for number in range(1, words))], dtype=object)
    weights = np.cumsum(1 / np.arange(1, words + 1))
    random = np.random.default_rng(0)
    with open(path, "w", encoding="utf-8") as file:
        for at in range(0, lines, 50_000):
            count = min(50_000, lines - at)
            ids = np.searchsorted(weights, random.random(count * 24) * weights[-1])
            once = np.arange(at * 24, words)[: len(ids)]
            ids[: len(once)] = once
            for line in names[ids].reshape(count, 24):
                file.write(" ".join(line) + "\n")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_bounded(tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    for split, share in {"train": 1, "valid": 1000, "test": 1000}.items():
        write_text(folder / f"{split}.txt", lines=TOKENS // 25 // share, words=WORDS)
    command = [sys.executable, "-c", MEASURED, str(folder), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(json.dumps(found, indent=2))

    length = found["tokens"]["train"] // 64
    assert found["vocabulary"] == WORDS + 1
    assert found["tokens"]["train"] == TOKENS // 25 * 25
    assert found["targets"] == (length - 1) * 64
    assert found["resumed"] / found["targets"] == pytest.approx(found["half"], abs=1e-3)
    assert found["prepare_mb"] < 250
    assert found["epoch_mb"] < 50
