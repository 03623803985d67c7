"""Train a model from its configuration to its summary."""

import logging
import os
import re
import signal
import sys
import warnings
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer

from .. import provenance
from ..config import TaskConfig
from ..device import choose_device
from ..errors import UserError
from ..ops.precision import multiplies_bfloat16
from ..printable import printable
from ..processes import is_first_process
from ..runs import Run, find_run, resolved_start
from ..signals import Interrupted, Stopper
from ..threads import most_threads, threads_for, using_threads
from ..weights import save_weights
from . import checkpoints
from .loop import Loop
from .metrics import logger_class, open_logger
from .required_memory import reporting_exhaustion
from .resume import (
    last_checkpoint,
    notes_of_changes,
    restore_best,
    restore_from_best_checkpoint,
)
from .training_task import TrainingTask, open_task

DISTRIBUTED_STRATEGY = "ddp"
FEW_STEPS = 100
"""Fewer steps than these are worth a note, unless ``max_steps`` asks for them."""


@dataclass
class Result:
    """How training ended.

    Attributes:
        summary: the content of summary.json; None if a signal other than Ctrl-C stopped training,
            which leaves the evaluation to the resumed run.
        stopped_by: number of the signal that stopped training, 0 for none.
    """

    summary: dict[str, Any] | None
    stopped_by: int


def fit(config: TaskConfig, *, run: Run, resume: bool, logger: str | None = None) -> Result:
    """Train a model, keep its best weights, and evaluate them.

    During training, a signal (SIGINT, SIGTERM, SIGHUP) ends the run after the step in progress and
    a checkpoint; a second one ends it at once. Before and after training the first one does.

    Args:
        config: what to train, on which data, and how.
        run: the folder to write to.
        resume: continue from the last checkpoint of ``run``.
        logger: name or import path of a logger that receives the rows of metrics.csv as well, see
            :func:`.metrics.logger_class`.

    Raises:
        UserError: the data, a checkpoint or the configuration does not fit, the loss is not finite,
            or the disk is full.
        Interrupted: a signal ended the work at once; the run can be resumed from its last
            checkpoint, if there is one.
    """
    _quieten()
    accelerator = choose_device(config.device).type
    threads = None
    if accelerator == "cpu":
        # A run from before the number was saved had PyTorch's default.
        before = resume and config.threads is None
        threads = most_threads(config.devices) if before else threads_for(config)
    if threads is not None:
        config = replace(config, threads=threads)
    if threads is not None and config.devices > 1:
        # For the processes that Lightning starts; otherwise it chooses the number of threads.
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    with Stopper() as stopper, using_threads(threads):
        stopper.check()
        torch.manual_seed(config.seed)
        if config.start is not None and not resume:
            config = replace(config, start=resolved_start(config.start))
        task = open_task(config)
        config = task.config
        if resume:
            task.check(run)
        last = last_checkpoint(run, task, config) if resume else None
        notes: list[str] = []
        if config.start is not None and last is None and is_first_process():  # others get a copy
            start = find_run(config.start)
            task.start_from(start)
            if note := start.note_of_changes():
                notes.append(f"start: {note}")
        few = not config.max_steps and task.total_steps < FEW_STEPS
        if few and last is None and config.batch_size > 1:
            notes.append(
                f"{task.total_steps} steps are few to learn from; with a smaller batch_size than "
                f"{config.batch_size} the same text gives more"
            )
        kind_of_logger = logger_class(logger)
        checkpoint_io = checkpoints.AtomicCheckpointIO()
        loop = Loop(config, run, task.total_steps, checkpoint_io, stopper)
        trainer = _trainer(config, accelerator, loop, task.module.parts, checkpoint_io)
        stopper.check()
        first = is_first_process()
        with run.held(new=not resume) if first else nullcontext():
            if first:
                run.remove_leftovers()
                if last is not None:
                    notes = notes_of_changes(run, last)
                    restore_best(run, task.module.model, last)
                for note in notes:
                    print(f"note: {printable(note)}", file=sys.stderr)
                if kind_of_logger is not None:  # first: if it fails, nothing of the run is left
                    step = 0 if last is None else last["global_step"]
                    name = logger or "tensorboard"
                    loop.logger = open_logger(kind_of_logger, name, run, config, step=step)
                try:
                    run.forget_digests()
                    run.save_config(config)
                    task.save(run)
                except BaseException:
                    loop.close("failed")
                    raise
            return _fit(trainer, task, loop, None if last is None else run.last_path)


def _fit(trainer: Trainer, task: TrainingTask, loop: Loop, start: Path | None) -> Result:
    module, run = task.module, loop.run
    status = "failed"
    try:
        with reporting_exhaustion(run.folder):
            trainer.fit(module, ckpt_path=start, weights_only=True)
        status = "aborted" if loop.stopped_by else "finished"
    except BaseException as error:
        if isinstance(error, SystemExit | KeyboardInterrupt):
            status = "aborted"
        # The other processes would wait for this one forever.
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGKILL)
        if isinstance(error, SystemExit):  # Lightning turns a KeyboardInterrupt into this
            raise Interrupted(loop.stopper.caught or signal.SIGINT) from error
        if trainer.world_size > 1 and _is_of_communication(error):
            if loop.stopper.caught:  # the other process was interrupted a moment earlier
                raise Interrupted(loop.stopper.caught) from error
            message = f"another process of this training has ended; {run.how_to_resume}"
            if not trainer.is_global_zero:  # the first process may be the one that has ended
                print(f"error: {run.folder}: {message}", file=sys.stderr)
            raise UserError(f"{run.folder}: {message}") from error
        raise
    finally:
        loop.close(status)  # here: after an error Lightning does not call the teardown of callbacks
    if loop.stopped_by not in (0, signal.SIGINT) or not trainer.is_global_zero:
        return Result(None, loop.stopped_by)
    if not run.weights_path.exists():  # stopped before the first validation, or removed since
        if loop.state.best_step in (0, loop.state.step):
            save_weights(module.evaluated, run.weights_path)
        else:
            restore_from_best_checkpoint(run, module.model, loop.state.best_step)
    results = _results(task, loop) | {"precision": str(trainer.precision)}
    run.save_summary(results)
    return Result(results, loop.stopped_by)


def _is_of_communication(error: BaseException) -> bool:
    """Whether an error is of gloo, NCCL or their store, as when another process is gone."""
    return isinstance(error, RuntimeError) and bool(
        re.search("gloo|nccl|connection (reset|closed)|TCPStore|broken pipe", str(error), re.I)
    )


def _trainer(
    config: TaskConfig,
    accelerator: str,
    loop: Loop,
    parts: int,
    checkpoint_io: checkpoints.AtomicCheckpointIO,
) -> Trainer:
    several = config.devices * config.num_nodes > 1
    if accelerator == "cuda" and config.devices > torch.cuda.device_count():
        raise UserError(
            f"devices: must be at most {torch.cuda.device_count()} on this machine, "
            f"got {config.devices}"
        )
    return Trainer(
        accelerator=accelerator,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=DISTRIBUTED_STRATEGY if several else "auto",
        precision=_precision(config.precision, accelerator),
        accumulate_grad_batches=parts,
        max_steps=loop.total_steps,
        max_epochs=-1,
        limit_val_batches=0,
        callbacks=[loop],
        plugins=[checkpoint_io],
        logger=False,  # the loop writes metrics.csv and gives its rows to the logger
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _precision(wanted: str, device: str) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's name of the precision that this type of device computes in."""
    if wanted != "bf16-mixed":
        return "32-true"
    if multiplies_bfloat16(device):
        return "bf16-mixed"
    if is_first_process():
        print("precision: float32, because this CPU has no bfloat16 products", flush=True)
    return "32-true"


def _results(task: TrainingTask, loop: Loop) -> dict[str, Any]:
    """Evaluate the best weights exactly, and describe the run."""
    module, config, state = task.module, loop.config, loop.state
    print("evaluating the best weights on all of the validation and test data", flush=True)
    with reporting_exhaustion(loop.run.folder):
        scores = task.scores(loop.run, module.device)
    return {
        "run": str(loop.run.folder),
        "config": config.name,
        "parameters": sum(parameter.numel() for parameter in module.model.parameters()),
        "steps": state.step,
        "finished": not loop.stopped_by,
        **scores,
        "epochs": state.epoch,
        module.unit: state.tokens,
        "best_step": state.best_step,
        "seconds": round(state.seconds, 3),
        "cpu_seconds": round(state.cpu_seconds, 3),
        f"{module.unit}_per_s": round(state.tokens / state.seconds, 1) if state.seconds else None,
        "seed": config.seed,
        "commit": provenance.commit(),
        "versions": provenance.versions(),
        "machine": provenance.machine(module.device),
    }


def _quieten() -> None:
    """Silence Lightning's remarks, which address authors of training loops."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
