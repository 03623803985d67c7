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
from typing import Any

from ..errors import UserError
from ..files import write_text
from .best_results import PUBLISHED, best_results, percent, question
from .comparison import cells
from .formatting import (
    duration,
    field_value,
    markdown_table,
    millions,
    milliseconds,
    origins_in_words,
)
from .record import Record, read

BLOCK = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
MISSING = "*Not measured yet.*\n"

CAPTIONS = {
    "bench/speed.png": "Blue: one core, forward and backward; the black mark is the time of its "
    "matrix products alone. Green: a whole training step. Yellow: its peak memory.",
    "bench/speed-earlier.png": "The same on an earlier processor.",
    "bench/speed-avx2.png": "The same on a processor without bfloat16 products.",
    "bench/speed-amx.png": "The same on a processor with AMX, with the native core in bfloat16.",
    "bench/sizes.png": "Less is better; the black line is the time of the matrix products alone. "
    "The less work a step has, the more a loop of PyTorch calls (blue, orange) costs, compared "
    "with compiled code (green).",
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
    "rl/recall.png": "Right answers over training, three seeds of each core.",
    "tasks/programs/curves.png": "All three seeds learn to add three-digit numbers.",
    "tasks/programs-paper/curves.png": "With heads for training only, addition is learned, "
    "control in part, full programs hardly. The peaks of the training loss are where "
    "the curriculum adds a digit or, in control, lets loops run more often.",
    "tasks/memorization-paper/curves.png": "Strings of 20 digits: reversing is the easiest, "
    "doubling the hardest.",
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
    return f"{markdown_table(header, lines, left=1)}\n<sub>{' '.join(notes)}</sub>\n"


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


CORES = ("4 x 64", "1 x 128", "8 x 256", "1 x 768")
"""The cores of `_core_sizes`."""


def _core_sizes(results: Path, base: Path) -> str:
    """Some rows of ``rrnn bench --sizes``: each core with its most work, on the most threads."""
    path = results / "bench" / "sizes.json"
    if not path.is_file():
        return ""
    result = json.loads(path.read_text(encoding="utf-8"))
    measured = [row for row in result["rows"] if "error" not in row]
    threads = max((row["threads"] for row in measured), default=0)
    lines = []
    for core in CORES:
        own = [row for row in measured if row["row"] == core and row["threads"] == threads]
        if own:
            row = max(own, key=lambda row: row["steps"] * row["multiply_adds"])
            times = ("reference_ms", "fused_ms", "native_ms", "floor_ms", "lstm_ms")
            shape = [core, f"{row['steps']} x {row['batch']}"]
            lines.append([*shape, *(milliseconds(row.get(name)) for name in times)])
    header = ["slots x width", "steps x batch", "reference, ms", "fused, ms", "native, ms"]
    table = markdown_table([*header, "products alone, ms", "LSTM, ms"], lines, left=2)
    origin = f"{result['machine']['processor']}, {threads} threads."
    note = f"<sub>Forward and backward in float32; LSTM: of as many parameters. {origin}</sub>\n"
    picture = _picture(path.with_suffix(".png"), results, base).rstrip()
    return "\n".join([table, " ".join(filter(None, [picture, note]))])


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
        return "\n".join(
            filter(None, [markdown_table(header, rows, left=2), *shown, _origin(records)])
        )

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
    return markdown_table(["run", "method", "test", "tuned on valid"], rows, left=2) if rows else ""


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
        return markdown_table(
            ["changed", "weights", "valid", "test", "test changes by"], rows, left=1
        )

    return make


def _tasks(results: Path, base: Path) -> str:
    """Reasoning tasks: accuracy per character (or of the choice) and of whole answers."""
    folders = sorted(path.parent for path in (results / "tasks").rglob("config.yaml"))
    records = [read(folder) for folder in folders]
    if not records:
        return ""
    sizes = ["run", "task", "core", "seed", "weights", "steps"]
    header = [*sizes, "time", "CPU time", "accuracy", "whole answer"]
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
                duration(record.summary.get("cpu_seconds")),
                percent(test.get("accuracy")),
                percent(test.get("answer_accuracy")),
            ]
        )
    pictures = [
        _picture(path, results, base) for path in sorted((results / "tasks").rglob("*.png"))
    ]
    return "\n".join(
        filter(None, [markdown_table(header, rows, left=3), *pictures, _origin(records)])
    )


def _recall(results: Path, base: Path) -> str:
    """Success of the policies of examples/recall_rl.py, a row for each core."""
    path = results / "rl" / "recall.json"
    if not path.is_file():
        return ""
    runs = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for core in dict.fromkeys(run["core"] for run in runs):
        own = [run for run in runs if run["core"] == core]
        ends = [fmean(success for _, success in run["curve"][-10:]) for run in own]
        seconds = fmean(run["seconds"] for run in own)
        steps = own[0]["curve"][-1][0]
        each = " / ".join(f"{end:.0%}" for end in ends)
        rows.append(
            [core.upper(), f"{own[0]['parameters']:,}", f"{steps:,}", each, f"{seconds:.0f}"]
        )
    header = ["core", "weights", "steps", "right answers at the end, each seed", "CPU seconds"]
    table = markdown_table(header, rows, left=1)
    return f"{table}\n{_picture(path.with_suffix('.png'), results, base)}"


def _drills(results: Path, base: Path) -> str:
    """The rows of the long round of the drills, and where they were run."""
    rows, origins = [], []
    for path in sorted((results / "drills").glob("*-long.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        for row in found["rows"]:
            outcomes = [f"{count:,} {name}" for name, count in row["outcomes"].items()]
            outcomes += [f"{name} {value:,.4g}" for name, value in row["figures"].items()]
            tried, failures = f"{row['tries']:,}", f"{row['failures']:,}"
            rows.append([row["what"], ", ".join(outcomes), tried, failures])
        machine = found["machine"]
        origins.append(
            f"{found['drill']}: {duration(found['seconds'])}, seed {found['seed']}, "
            f"{machine['processor']}, torch {machine['versions']['torch']}, "
            f"commit {(machine['commit'] or 'unknown')[:12]}"
        )
    if not rows:
        return ""
    table = markdown_table(["drill", "outcomes", "tries", "failures"], rows, left=2)
    return "\n".join([table, *(f"<sub>{line}.</sub>\n" for line in origins)])


def _compare(name: str, *, whole: bool = True) -> Callable[[Path, Path], str]:
    """The tables and the picture of a comparison, with links from the page to its runs.

    Args:
        name: of the comparison.
        whole: whether to show the tables of every task, not only the two of all tasks.
    """

    def make(results: Path, base: Path) -> str:
        folder = results / "compare" / name
        if not (folder / "table.md").is_file():
            return ""
        _, _, text = (folder / "table.md").read_text(encoding="utf-8").partition("\n\n")
        if not whole:
            text = (
                "\n\n## ".join(text.split("\n\n## ")[:3])
                + "\n\n[All figures of each task](table.json)\n"
            )
        text = re.sub(r"\]\(([^)]*)\)", lambda match: f"]({_link(folder / match[1], base)})", text)
        text = re.sub("^## ", "### ", text, flags=re.MULTILINE)
        picture = _picture(folder / "accuracy.png", results, base)
        data = json.loads((folder / "table.json").read_text(encoding="utf-8"))
        return "\n".join([text, picture, _sources(data["origins"])])

    return make


BLOCKS: dict[str, Callable[[Path, Path], str]] = {
    "best": _best,
    "demo": _output("demo/demo.txt"),
    "test": _output("demo/test.txt", last=3),
    "wikitext2": _language_models("wikitext2-*", "wikitext2*.png"),
    "sampled-softmax": _language_models("sampled-softmax/*", "sampled-softmax/*.png"),
    "second-round": _language_models("second-round/*", "second-round/*.png"),
    "methods": _methods,
    "published-rows": _sweep("wikitext2-published"),
    "ablation": _changes("wikitext2-ablation"),
    "cores": _changes("wikitext2-cores"),
    "dropout": _changes("wikitext2-regularization"),
    "weak-dropout": _language_models("weak-dropout/*", "weak-dropout/*.png"),
    "muon": _language_models("muon/*", "muon/*.png"),
    "tasks": _tasks,
    "memory-quick": _compare("memory-quick"),
    "memory-suite": _compare("memory", whole=False),
    "speed": _bench("speed"),
    "sizes": _bench("sizes"),
    "core-sizes": _core_sizes,
    "speed-avx2": _bench("speed-avx2"),
    "speed-amx": _bench("speed-amx"),
    "speed-earlier": _bench("speed-earlier"),
    "growth": _bench("grow-*"),
    "profile": _bench("profile"),
    "memory": _bench("memory"),
    "scale": _bench("scale"),
    "corpus": _bench("corpus"),
    "batches": _bench("batches"),
    "busy": _bench("busy"),
    "recall": _recall,
    "drills": _drills,
}
"""For each block, the function that makes its text from the folders of the results and of the page.

The function returns an empty string if there are no results."""


def _name(record: Record) -> str:
    return record.name if record.finished else f"{record.name} (unfinished)"


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
    return _sources([record.summary for record in records])


def _sources(origins: Sequence[dict[str, Any]]) -> str:
    """Machines and commits, each once; given are summaries, or what a comparison keeps of them."""
    return "".join(f"<sub>{line}.</sub>\n" for line in origins_in_words(origins))


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
