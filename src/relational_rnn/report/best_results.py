"""The result of each core's best run, next to published figures.

The best run is the one with the best validation; the table shows its test result. Published figures
are cited, not measured here: ``PUBLISHED`` and ``SOURCES`` hold all of them.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .record import read

PAPER = "[Santoro et al. 2018](https://arxiv.org/abs/1806.01822)"
OLDER_PORT = "[relational-rnn-pytorch](https://github.com/L0SG/relational-rnn-pytorch)"
AWD_LSTM = "[GluonNLP](https://github.com/dmlc/gluon-nlp)"
SOURCES = {
    "a": f"{OLDER_PORT}: models of about 11 M weights, 100 epochs.",
    "b": f"{AWD_LSTM}: AWD-LSTM, embedding of 200, three layers of 600, 750 epochs.",
    "c": f"{PAPER}, Sections 5.1 and 5.2: far larger cores and longer training, on GPUs.",
}
"""Where the published figures come from. They are cited, not measured here."""

PUBLISHED: dict[str, tuple[str, str]] = {
    "WikiText-2": ("107.21 (a)", "105.56 (a), 80.67 (b)"),
    "Nth farthest, 8 objects, 16 features": ("91% (c)", "below 30% (c)"),
    "addition, length 5, nesting 2": ("99.9% (c)", "–"),
    "control, length 5, nesting 2": ("99.6% (c)", "–"),
    "full, length 5, nesting 2": ("79.0% (c)", "–"),
}
"""Published figures of the RMC and the LSTM for the rows of the table of best results."""


class BestResult(NamedTuple):
    """A row of the table.

    Attributes:
        label: what was measured.
        published: key in ``PUBLISHED``; other keys have no published figure.
        rmc: best result of the RMC.
        lstm: best result of the LSTM.
        page: page in docs/ that discusses it.
    """

    label: str
    published: str
    rmc: str
    lstm: str
    page: str


def best_results(results: Path) -> tuple[list[BestResult], list[str]]:
    """Rows of the table, and notes: the sources of published figures."""
    rows = [*_best_perplexity(results), *_best_accuracies(results)]
    return rows, [f"({mark}) {source}" for mark, source in SOURCES.items()]


def _best_perplexity(results: Path) -> list[BestResult]:
    best = _chosen(results.glob("wikitext2-*/config.yaml"), "perplexity")
    tests = best.get("WikiText-2", {})
    if not tests:
        return []
    rmc, lstm = (f"{tests[core]:,.2f}" if core in tests else "–" for core in ("rmc", "lstm"))
    what = "WikiText-2: test perplexity (lower is better)"
    return [BestResult(what, "WikiText-2", rmc, lstm, "wikitext2.md")]


def _best_accuracies(results: Path) -> list[BestResult]:
    """The tasks that have a published figure, or results of more than one core."""
    best = _chosen((results / "tasks").rglob("config.yaml"), "accuracy")
    rows = []
    for task, tests in sorted(best.items()):
        if task in PUBLISHED or len(tests) > 1:
            rmc, lstm = (percent(tests.get(core)) for core in ("rmc", "lstm"))
            rows.append(BestResult(f"{task}: accuracy", task, rmc, lstm, "reasoning.md"))
    return rows


def _chosen(configs: Iterable[Path], measure: str) -> dict[str, dict[str, float]]:
    """The test result of each core's run with the best validation, by task and core."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for path in sorted(configs):
        record = read(path.parent)
        valid, test = (record.summary.get(split, {}).get(measure) for split in ("valid", "test"))
        if not record.finished or valid is None or test is None:
            continue
        cores = found.setdefault(question(record.config), {})
        core = str(record.config["model"])
        rank = valid if measure == "perplexity" else -valid
        cores[core] = min((rank, test), cores.get(core, (rank, test)))
    return {
        task: {core: test for core, (_, test) in cores.items()} for task, cores in found.items()
    }


def question(config: Mapping[str, Any]) -> str:
    """A task and its size."""
    if config["task"] == "language-modeling":
        return "WikiText-2"
    if config["task"] == "nth-farthest":
        return f"Nth farthest, {config['objects']} objects, {config['features']} features"
    nesting = f", nesting {config['nesting']}" if config["task"] == "programs" else ""
    return f"{config['category']}, length {config['length']}{nesting}"


def percent(value: float | None) -> str:
    """An accuracy between 0 and 1 as a percentage."""
    return "–" if value is None else f"{value:.2%}"
