"""Tables of README.md and docs/, generated from the files that commands wrote to results/.

``python -m relational_rnn.report.readme_tables README.md docs/*.md`` (``make readme``) fills every
block

    <!-- results: NAME -->
    <!-- end -->

of these files. A block whose results are missing reads "Not measured yet".
"""

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from ..errors import UserError
from ..files import write_text
from .best_results import PUBLISHED, best_results, percent, question
from .comparison import cells
from .formatting import duration, field_value, millions
from .record import Record, read

BLOCK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MISSING = "*Not measured yet.*\n"

CAPTIONS = {
    "bench/speed.png": "Blue: one core, forward and backward; the black mark is the time of its "
    "matrix products alone. Green: a whole training step. Yellow: its peak memory.",
    "bench/speed-earlier.png": "The same on a processor that multiplies bfloat16 faster.",
    "bench/speed-avx2.png": "The same on a processor without bfloat16 products.",
    "bench/profile.png": "The softmax (loss forward) takes most of the step with either core.",
    "bench/grow-batch.png": "Both axes are logarithmic; a dotted line is growth in proportion to "
    "the size.",
    "bench/grow-heads.png": "The number of heads does not change the cost.",
    "bench/grow-slots.png": "The core's time grows almost in proportion to the slots, the whole "
    "step's less.",
    "bench/grow-time.png": "Both cores grow in proportion to the number of steps.",
    "bench/grow-vocabulary.png": "The adaptive softmax grows much less than the full one.",
    "bench/memory.png": "A flat line: memory does not grow from step to step.",
    "bench/scale.png": "Left: measured peaks and the lines fitted to them. Right: memory on each "
    "device, computed from these lines.",
    "wikitext2-1epoch.png": "One epoch with the published recipe: one validation each.",
    "wikitext2-best.png": "The RMC and the LSTM of equal size end together; the LSTM of the "
    "published sizes stays behind.",
    "tasks/memorization/curves.png": "Copying and reversing are learned within 3,000 steps, "
    "doubling takes longer.",
    "tasks/nth-farthest/curves.png": "The three RMCs leave the plateau, the three LSTMs of equal "
    "size do not. Dotted: accuracies of two strategies that compare no pair of vectors. The peaks "
    "of the training loss are where the curriculum adds an object.",
    "tasks/nth-farthest-paper/curves.png": "The peaks of the training loss are where the "
    "curriculum adds features or objects. Dotted: accuracies of two strategies that compare no "
    "pair of vectors.",
    "tasks/programs/curves.png": "All three seeds learn to add three-digit numbers.",
    "tasks/programs-paper/curves.png": "Addition, with heads for training only and a curriculum, "
    "is nearly learned; control and full programs, without either, are not. The peaks of the "
    "training loss are where the curriculum adds a digit.",
}
"""What to see in a picture."""


def fill(text: str, results: Path, *, base: Path) -> str:
    """Fill the blocks of a text in Markdown.

    Args:
        text: the text.
        results: folder with the results.
        base: folder of the text's file; links to pictures and pages are relative to it.

    Raises:
        UserError: a block has an unknown name, or its results are damaged.
    """

    def block(match: re.Match[str]) -> str:
        name = match[2]
        if name not in BLOCKS:
            raise UserError(
                f"results: {name}: unknown block; the name must be one of {', '.join(BLOCKS)}"
            )
        return f"{match[1]}{BLOCKS[name](results, base) or MISSING}{match[3]}"

    return BLOCK.sub(block, text)


def _best(results: Path, base: Path) -> str:
    """The best result of each core with the published figures, and their sources."""
    rows, notes = best_results(results)
    if not rows:
        return ""
    docs = results.parent / "docs"
    header = ["", "RMC", "LSTM", "published RMC", "published LSTM", "more"]
    lines = []
    for row in rows:
        published = PUBLISHED.get(row.published, ("–", "–"))
        link = f"[{row.page}]({_link(docs / row.page, base)})"
        lines.append([row.label, row.rmc, row.lstm, *published, link])
    return "\n".join([_markdown(header, lines, left=1), *(f"<sub>{x}</sub>\n" for x in notes)])


def _output(file: str, *, last: int | None = None) -> Callable[[Path, Path], str]:
    """The output of a command, verbatim; with ``last``, only its last lines."""

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
    """Tables of ``rrnn bench`` whose file names match, each with its picture."""

    def make(results: Path, base: Path) -> str:
        parts = []
        for path in sorted((results / "bench").glob(f"{name}.md")):
            parts.append(path.read_text(encoding="utf-8").strip() + "\n")
            parts.append(_picture(path.with_suffix(".png"), results, base))
        return "\n".join(filter(None, parts))

    return make


def _language_models(runs: str, pictures: str) -> Callable[[Path, Path], str]:
    """Language models, one row each, the best test perplexity first."""

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
        shown = [_picture(path, results, base) for path in sorted(results.glob(pictures))]
        return "\n".join(filter(None, [_markdown(header, rows, left=2), *shown, _origin(records)]))

    return make


def _methods(results: Path, base: Path) -> str:
    """Evaluation methods, from methods.json of each run (the output of ``rrnn test --json``)."""
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
    """The table of a sweep, without the heading of its file."""

    def make(results: Path, base: Path) -> str:
        path = results / "sweeps" / name / "table.md"
        if not path.is_file():
            return ""
        _, _, table = path.read_text(encoding="utf-8").partition("\n\n")
        return table.strip() + "\n"

    return make


def _changes(name: str) -> Callable[[Path, Path], str]:
    """A sweep of a recipe (its first row) and changes to it, the best validation perplexity first.

    The recipe's own figure is the mean of the rows that change at most the seed.
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
            what = ", ".join(f"{key} {field_value(value)}" for key, value in changed.items())
            valid, test = trial["valid_perplexity"], trial["test_perplexity"]
            row = [f"{valid:,.2f}", f"{test:,.2f}", f"{test / unchanged - 1:+.1%}"]
            rows.append([what or "the recipe", millions(trial["weights"]), *row])
        return _markdown(["changed", "weights", "valid", "test", "test changes by"], rows, left=1)

    return make


def _tasks(results: Path, base: Path) -> str:
    """Reasoning tasks: accuracy per character (or of the choice) and of whole answers."""
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
                question(record.config),
                str(row["model"]),
                str(record.config["seed"]),
                "–" if weights is None else f"{weights:,}",
                f"{row['steps']:,}",
                duration(row["seconds"]),
                percent(test.get("accuracy")),
                percent(test.get("answer_accuracy")),
            ]
        )
    pictures = [
        _picture(path, results, base) for path in sorted((results / "tasks").rglob("*.png"))
    ]
    return "\n".join(filter(None, [_markdown(header, rows, left=3), *pictures, _origin(records)]))


BLOCKS: dict[str, Callable[[Path, Path], str]] = {
    "best": _best,
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
    "busy": _bench("busy"),
}
"""For each block, the function that makes its text from the folders of the results and of the page.

The function returns an empty string if there are no results."""


def _name(record: Record) -> str:
    return record.name if record.finished else f"{record.name} (unfinished)"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    lines = [header, [":--"] * left + ["--:"] * (len(header) - left), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _picture(path: Path, results: Path, base: Path) -> str:
    """The picture with its caption; an empty string if there is none."""
    if not path.is_file():
        return ""
    image = f"![{path.stem}]({_link(path, base)})\n"
    caption = CAPTIONS.get(path.relative_to(results).as_posix())
    return image if caption is None else f"{image}\n*{caption}*\n"


def _link(path: Path, base: Path) -> str:
    return Path(os.path.relpath(path, base)).as_posix()


def _origin(records: Sequence[Record]) -> str:
    """Machines and commits of the runs."""
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
    """Fill the blocks of the given files from ``results/``; write only files that change."""
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
