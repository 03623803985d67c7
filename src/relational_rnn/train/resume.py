"""What a resumed run starts from: its last checkpoint, and its best weights, restored if lost."""

import shlex
from dataclasses import asdict
from typing import Any

from torch import nn

from ..config import TaskConfig
from ..config.fields import options
from ..errors import UserError
from ..files import as_json, link
from ..registry import build_task, is_generated
from ..runs import Run
from ..weights import save_checkpoint_weights
from . import checkpoints
from .training_task import TrainingTask

BEST_CHECKPOINT = "checkpoints/best.ckpt"


def last_checkpoint(run: Run, task: TrainingTask, config: TaskConfig) -> dict[str, Any] | None:
    """The last checkpoint of a run, checked; None if the run was stopped before the first one.

    Args:
        run: the run to be resumed.
        task: its task, opened.
        config: its configuration; only resumable fields may have changed since the checkpoint.

    Raises:
        UserError: the checkpoint is lost or damaged, belongs to another run or another
            configuration, or is of a later step than the training's end.
    """
    path = run.last_path
    if not path.exists():
        _check_nothing_is_lost(run)
        return None
    saved = checkpoints.read(path)
    checkpoints.check(path, saved["origin"], task.origin)
    _check_config(run, saved.get("config", {}), config)
    step: int = saved["global_step"]
    if step > task.total_steps:
        raise UserError(
            f"{run.folder}: is at step {step:,} already; max_steps (or epochs) must give at least "
            f"that many steps, got {task.total_steps:,}"
        )
    return saved


def restore_best(run: Run, model: nn.Module, last: dict[str, Any]) -> None:
    """Restore the best weights of a run to be resumed, where they are missing or not yet written.

    The last checkpoint is saved first. A run killed after that has no best weights yet, or those of
    an earlier step, if the last step is the best one.

    Args:
        run: the run.
        model: names the weights; its values are not used.
        last: the content of the last checkpoint.

    Raises:
        UserError: the best weights are lost, and the best checkpoint too.
    """
    best_step = last["callbacks"]["Loop"]["best_step"]
    if best_step and best_step == last["global_step"]:
        link(run.last_path, run.best_path)
        save_checkpoint_weights(last, model, run.weights_path)
    elif best_step and not run.weights_path.exists():
        restore_from_best_checkpoint(run, model, best_step)


def notes_of_changes(run: Run, last: dict[str, Any]) -> list[str]:
    """What has changed in a run to be resumed and is allowed to: a line for each kind of change.

    Args:
        run: the run.
        last: the content of the last checkpoint.
    """
    notes = []
    saved, ignored = last.get("config", {}), ("name", *_fixed(run.config))
    edited = [
        f"{name} is {as_json(value)}, was {as_json(saved[name])}"
        for name, value in asdict(run.config).items()
        if name in saved and name not in ignored and as_json(value) != as_json(saved[name])
    ]
    if edited:
        where = f"{run.config_path}: changed since {run.last_path} was saved"
        notes.append(f"{where}: {'; '.join(edited)}")
    checked = {"config.yaml", "metrics.csv", BEST_CHECKPOINT}  # when they are read
    if others := sorted(set(run.changed_files()) - checked):
        notes.append(f"{run.folder}: changed since the run ended: {', '.join(others)}")
    return notes


def restore_from_best_checkpoint(run: Run, model: nn.Module, best_step: int) -> None:
    """Write the best weights, those of ``best_step``, from the best checkpoint.

    Raises:
        UserError: that checkpoint is missing, damaged, changed, or of another step.
    """
    where = f"{run.weights_path}: not found, and it cannot be restored"
    if not run.best_path.exists():
        raise UserError(f"{where}: {run.best_path} is missing as well; {_start_again(run)}")
    best = checkpoints.read(run.best_path)
    if best["global_step"] != best_step:
        raise UserError(
            f"{where}: {run.best_path} is of step {best['global_step']:,}, the best weights were "
            f"of step {best_step:,}; {_start_again(run)}"
        )
    if BEST_CHECKPOINT in run.changed_files():
        raise UserError(
            f"{where}: {run.best_path} has changed since the run ended; {_start_again(run)}"
        )
    save_checkpoint_weights(best, model, run.weights_path)


def _check_config(run: Run, saved: dict[str, Any], config: TaskConfig) -> None:
    """Raise :class:`UserError` if a field has changed that cannot change when a run is resumed.

    Args:
        run: the run to be resumed.
        saved: the fields as the checkpoint has them; those it lacks, of an earlier version, are not
            compared.
        config: the configuration to resume with.
    """
    fixed = _fixed(config)
    now = asdict(config)
    changed = [
        f"{name} is {as_json(now[name])}, was {as_json(saved[name])}"
        for name in fixed
        if name in saved and name != "name" and as_json(now[name]) != as_json(saved[name])
    ]
    if changed:
        raise UserError(
            f"{run.config_path}: changed since {run.last_path} was saved: {'; '.join(changed)}; "
            f"change it back, or {_start_again(run)}"
        )


def _fixed(config: TaskConfig) -> list[str]:
    """The fields that cannot change when a run is resumed."""
    fixed = [name for name, field in options(type(config)).items() if not field.resumable]
    if is_generated(config) and build_task(config, training=True).follows_loss:
        fixed.append("log_every")  # the curriculum goes by the rows of metrics.csv
    return fixed


def _check_nothing_is_lost(run: Run) -> None:
    """Raise :class:`UserError` if a run without a last checkpoint has had one."""
    if run.best_path.exists():
        raise UserError(
            f"{run.last_path}: not found; copy {run.best_path} to this name to resume from the "
            "best step"
        )
    for path in (run.weights_path, run.summary_path):
        if path.exists():
            raise UserError(
                f"{run.last_path}: not found, so the run cannot be resumed, and {path} would be "
                f"overwritten; {_start_again(run)}"
            )


def _start_again(run: Run) -> str:
    return f"start a new run: rrnn train {shlex.quote(str(run.config_path))}"
