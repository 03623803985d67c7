"""The tables of README.md and docs/, made from what commands wrote to results/.

``python -m relational_rnn.report.readme_tables README.md docs/*.md`` (``make readme``) fills every block

    <!-- results: NAME -->
    <!-- end -->

of these files. What has not been measured is said to be so.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ..errors import UserError
from ..files import write_text
from .record import Record, read
from .sweep import axes
from .table import cells, duration, millions

BLOCK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MISSING = "*Not measured yet.*\n"


def fill(text: str, results: Path, *, base: Path) -> str:
    """Fill the blocks of a text in Markdown.

    Args:
        text: the text.
        results: folder with the results.
        base: folder of the text's file, which links to pictures start from.

    Raises:
        UserError: a block of an unknown name, or results that are broken.
    """

    def block(match: re.Match[str]) -> str:
        name = match[2]
        if name not in BLOCKS:
            raise UserError(f"results: {name}: unknown block; it takes {', '.join(BLOCKS)}")
        return f"{match[1]}{BLOCKS[name](results, base) or MISSING}{match[3]}"

    return BLOCK.sub(block, text)


def _output(file: str, *, last: int | None = None) -> Callable[[Path, Path], str]:
    """What a command printed, word for word; its last lines only where it is long."""

    def make(results: Path, base: Path) -> str:
        path = results / file
        if not path.is_file():
            return ""
        lines = [line.rstrip() for line in path.read_text(encoding="utf-8").strip().splitlines()]
        if last is not None and len(lines) > last:
            lines = ["...", *lines[-last:]]
        return "\n".join(["```text", *lines, "```", ""])

    return make


def _bench(name: str) -> Callable[[Path, Path], str]:
    """A table of ``rrnn bench``, with its picture and the command."""

    def make(results: Path, base: Path) -> str:
        parts = []
        for path in sorted((results / "bench").glob(f"{name}.md")):
            parts.append(path.read_text(encoding="utf-8").strip() + "\n")
            parts.append(_picture(path.with_suffix(".png"), base))
        return "\n".join(filter(None, parts))

    return make


def _language_models(runs: str, pictures: str) -> Callable[[Path, Path], str]:
    """Language models, a row each; the best test perplexity first."""

    def make(results: Path, base: Path) -> str:
        records = [read(path.parent) for path in sorted(results.glob(f"{runs}/config.yaml"))]
        if not records:
            return ""
        records.sort(key=lambda record: record.row()["test"] or float("inf"))
        header = ["run", "core", "weights", "steps", "time", "valid", "test"]
        rows = []
        for record, line in zip(records, cells(records), strict=True):
            _, model, weights, _, time, _, valid, test = line
            steps = f"{record.row()['steps']:,}"
            rows.append([_name(record), model, weights, steps, time, valid, test])
        shown = [_picture(path, base) for path in sorted(results.glob(pictures))]
        return "\n".join(filter(None, [_markdown(header, rows, left=2), *shown, _origin(records)]))

    return make


def _methods(results: Path, base: Path) -> str:
    """Evaluation methods: what ``rrnn test --json`` printed for each run, kept as methods.json."""
    rows = []
    for path in sorted(results.glob("wikitext2-*/methods.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for name in ("plain", "temperature", "cache", "dynamic"):
            one = found if name == "plain" else found.get(name)
            if one is not None:
                tuned = [
                    f"{key} {value:g}"
                    for key, value in one.items()
                    if name != "plain" and key not in ("loss", "perplexity")
                ]
                perplexity = f"{one['perplexity']:,.2f}"
                rows.append([path.parent.name, name, perplexity, ", ".join(tuned)])
    return _markdown(["run", "method", "test", "tuned on valid"], rows, left=2) if rows else ""


def _sweep(name: str) -> Callable[[Path, Path], str]:
    """The table of a sweep, without the heading that it has as a file."""

    def make(results: Path, base: Path) -> str:
        path = results / "sweeps" / name / "table.md"
        if not path.is_file():
            return ""
        _, _, table = path.read_text(encoding="utf-8").partition("\n\n")
        return table.strip() + "\n"

    return make


def _changes(name: str) -> Callable[[Path, Path], str]:
    """A sweep whose first row is a recipe and whose others change it; the best valid first.

    The recipe's own figure is the mean of the rows that change nothing but the seed.
    """

    def make(results: Path, base: Path) -> str:
        path = results / "sweeps" / name / "table.json"
        if not path.is_file():
            return ""
        trials = json.loads(path.read_text(encoding="utf-8"))["trials"]
        recipe = next(trial["parameters"] for trial in trials if trial["trial"] == 0)
        finished = [trial for trial in trials if trial["rank"] is not None]
        finished.sort(key=lambda trial: trial["rank"])
        changes = [
            {key: value for key, value in trial["parameters"].items() if value != recipe[key]}
            for trial in finished
        ]
        unchanged = fmean(
            trial["test_perplexity"]
            for trial, changed in zip(finished, changes, strict=True)
            if changed.keys() <= {"seed"}
        )
        rows = []
        for trial, changed in zip(finished, changes, strict=True):
            what = ", ".join(f"{key} {axes.text(value)}" for key, value in changed.items())
            valid, test = trial["valid_perplexity"], trial["test_perplexity"]
            row = [f"{valid:,.2f}", f"{test:,.2f}", f"{test / unchanged - 1:+.1%}"]
            rows.append([what or "the recipe", millions(trial["weights"]), *row])
        return _markdown(["changed", "weights", "valid", "test", "test changes by"], rows, left=1)

    return make


def _tasks(results: Path, base: Path) -> str:
    """Reasoning tasks: accuracy per character (or of the choice), and of whole answers."""
    folders = sorted(path.parent for path in (results / "tasks").rglob("config.yaml"))
    records = [read(folder) for folder in folders]
    if not records:
        return ""
    header = ["run", "task", "core", "seed", "weights", "steps", "time", "accuracy", "whole answer"]
    rows = []
    for record in records:
        row, test = record.row(), record.summary.get("test", {})
        weights = row["parameters"]
        rows.append(
            [
                _name(record),
                _question(record.config),
                str(row["model"]),
                str(record.config["seed"]),
                "–" if weights is None else f"{weights:,}",
                f"{row['steps']:,}",
                duration(row["seconds"]),
                _percent(test.get("accuracy")),
                _percent(test.get("answer_accuracy")),
            ]
        )
    pictures = [_picture(path, base) for path in sorted((results / "tasks").rglob("*.png"))]
    return "\n".join(filter(None, [_markdown(header, rows, left=3), *pictures, _origin(records)]))


BLOCKS: dict[str, Callable[[Path, Path], str]] = {
    "demo": _output("demo/demo.txt"),
    "test": _output("demo/test.txt", last=3),
    "wikitext2": _language_models("wikitext2-*", "wikitext2*.png"),
    "sampled-softmax": _language_models("sampled-softmax/*", "sampled-softmax/*.png"),
    "methods": _methods,
    "published-rows": _sweep("wikitext2-published"),
    "ablation": _changes("wikitext2-ablation"),
    "cores": _changes("wikitext2-cores"),
    "tasks": _tasks,
    "speed": _bench("speed"),
    "speed-avx2": _bench("speed-avx2"),
    "speed-earlier": _bench("speed-earlier"),
    "growth": _bench("grow-*"),
    "profile": _bench("profile"),
    "memory": _bench("memory"),
    "scale": _bench("scale"),
    "corpus": _bench("corpus"),
    "batches": _bench("batches"),
}
"""What each block is made by, from the folder of results and that of the text; "" for nothing."""


def _name(record: Record) -> str:
    return record.name if record.finished else f"{record.name} (unfinished)"


def _question(config: Mapping[str, Any]) -> str:
    """A generated task and its size."""
    if config["task"] == "nth-farthest":
        return f"Nth farthest, {config['objects']} objects, {config['features']} features"
    nesting = f", nesting {config['nesting']}" if config["task"] == "programs" else ""
    return f"{config['category']}, length {config['length']}{nesting}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    lines = [header, [":--"] * left + ["--:"] * (len(header) - left), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _picture(path: Path, base: Path) -> str:
    if not path.is_file():
        return ""
    return f"![{path.stem}]({Path(os.path.relpath(path, base)).as_posix()})\n"


def _origin(records: Sequence[Record]) -> str:
    """Machines and commits that the runs come from."""
    found = []
    for record in records:
        machine, commit = record.summary.get("machine"), record.summary.get("commit")
        if machine:
            versions = record.summary.get("versions", {})
            found.append(
                f"{machine.get('processor')}, {machine.get('threads')} threads, device "
                f"{machine.get('device')}, torch {versions.get('torch')}, "
                f"commit {(commit or 'unknown')[:12]}"
            )
    return "".join(f"<sub>{line}.</sub>\n" for line in dict.fromkeys(found))


def main(names: Sequence[str]) -> int:
    """Fill the blocks of these files from ``results/``; an unchanged file is not written."""
    for path in map(Path, names):
        try:
            old = path.read_text(encoding="utf-8")
            new = fill(old, Path("results"), base=path.parent)
        except (UserError, OSError) as error:
            print(f"error: {path}: {error}", file=sys.stderr)
            return 2
        if new != old:
            write_text(path, new)
            print(f"{path}: filled")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
