"""A folder for the Hugging Face hub: a run's files, and a model card made of its figures."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import save
from ..errors import UserError
from ..files import as_json, reporting_errors, write_text
from ..nn.sharing import CONFIG, Shareable
from ..registry import is_generated, load_model
from ..run_digests import KEY, with_digests
from ..runs import Run
from .pages import make_empty_folder, render

CARD = "README.md"
METRICS = {"perplexity": "perplexity", "accuracy": "accuracy", "answer_accuracy": "whole answers"}
"""What the card shows of the scores, with their headings."""


def write_hub_folder(run: Run, folder: Path) -> None:
    """Write what is worth sharing of a finished run.

    The folder is a run folder without checkpoints, so that every command takes it; for a language
    model it has ``config.json`` too, for `LanguageModel.from_pretrained`. Weights are loaded first:
    damaged ones are not shared. Paths of the run and of its text are reduced to their names.

    Args:
        run: a finished run.
        folder: new or empty.

    Raises:
        UserError: the run is not finished, its weights are damaged or its files have changed since
            it ended, or the folder has files already or cannot be written to.
    """
    summary = run.summary | {"run": run.name}
    if not summary.get("finished", True):
        raise UserError(f"{run.folder}: the run is not finished; {run.how_to_resume}")
    if changed := run.changed_files():
        raise UserError(
            f"{run.folder}: changed since the run ended: {', '.join(changed)}; only the files of "
            "the run itself can be shared"
        )
    model = load_model(run)
    make_empty_folder(folder)
    if not is_generated(run.config):
        assert isinstance(model, Shareable)
        write_text(folder / CONFIG, model.arguments_as_json())
    copied = (run.weights_path, run.vocabulary_path, run.tokenizer_path, run.metrics_path)
    with reporting_errors(folder):
        for path in copied:
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
    config = run.config
    if not is_generated(config):
        name: dict[str, Any] = {"data": Path(vars(config)["data"]).name}
        config = replace(config, **name)
    save(config, folder / run.config_path.name)
    digests = summary.get(KEY, {})  # the files have them still, as was checked above
    known = {path.name: digests[path.name] for path in copied if path.name in digests}
    whole = with_digests(summary, folder, known=known)
    write_text(folder / run.summary_path.name, as_json(whole))
    text = (folder / run.config_path.name).read_text(encoding="utf-8")
    write_text(folder / CARD, card(run, summary, text))


def card(run: Run, summary: dict[str, Any], config: str) -> str:
    """The model card in Markdown."""
    is_text = not is_generated(run.config)
    core = {"mingru": "minGRU", "transformer": "Transformer"}.get(
        run.config.model, run.config.model.upper()
    )
    splits = {split: summary[split] for split in ("valid", "test") if split in summary}
    metrics = [name for name in METRICS if any(name in scores for scores in splits.values())]
    return render(
        "model_card.md",
        name=run.name,
        kind=f"{core} {'language model' if is_text else 'model'}",
        is_text=is_text,
        parameters=summary.get("parameters", 0),
        trained_on=Path(vars(run.config)["data"]).name if is_text else run.config.task,
        tags=["relational-memory-core", "text-generation" if is_text else run.config.task],
        metrics=[METRICS[name] for name in metrics],
        scores={
            split: [_figure(scores.get(name), name) for name in metrics]
            for split, scores in splits.items()
        },
        how=_how(summary),
        repository=f"YOUR-NAME/{run.name}",
        config=config,
    )


def _how(summary: dict[str, Any]) -> str:
    """Steps, seed, commit and versions, as far as they are known."""
    known = [f"{name} {summary[name]}" for name in ("steps", "seed") if name in summary]
    if summary.get("commit"):
        known.append(f"commit {summary['commit'][:12]}")
    known += [f"{name} {version}" for name, version in summary.get("versions", {}).items()]
    return ", ".join(known)


def _figure(value: float | None, name: str) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if name == "perplexity" else f"{value:.2%}"
