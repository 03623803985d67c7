"""Train a model from its configuration to its summary."""

import logging
import signal
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer

from .. import provenance
from ..config import TaskConfig
from ..device import choose_device
from ..errors import UserError
from ..ops.precision import multiplies_bfloat16
from ..processes import is_first_process
from ..runs import Run
from ..weights import save_weights
from . import checkpoints
from .job import Job, open_job
from .loop import Loop

DISTRIBUTED_STRATEGY = "ddp"


@dataclass
class Result:
    """How training ended.

    Attributes:
        summary: what is in summary.json; None if it was told to stop at once.
        stopped_by: number of the signal that stopped it, 0 for none.
    """

    summary: dict[str, Any] | None
    stopped_by: int


def fit(config: TaskConfig, *, run: Run, resume: bool) -> Result:
    """Train, keep the best weights, and evaluate them.

    Args:
        config: what to train, on what, and how.
        run: the folder to write to.
        resume: go on from the last checkpoint of ``run``.

    Raises:
        UserError: the data, a checkpoint or the configuration is not fit for it, the loss is not
            finite, or the disk is full.
    """
    _quieten()
    torch.manual_seed(config.seed)
    job = open_job(config)
    if resume:
        job.check(run)
    start = run.last_path if resume and run.last_path.exists() else None
    if start is not None:
        _check_start(start, run, job)
    module = job.module
    checkpoint_io = checkpoints.AtomicCheckpointIO()
    loop = Loop(config, run, job.total_steps, checkpoint_io)
    trainer = _trainer(config, loop, module.parts, checkpoint_io)
    first = is_first_process()
    with run.held(new=not resume) if first else nullcontext():
        if first:
            run.remove_leftovers()
            run.save_config(config)
            job.save(run)
        return _fit(trainer, job, loop, run, start)


def _check_start(checkpoint: Path, run: Run, job: Job) -> None:
    """Make sure that a run can go on from its checkpoint, which is not kept in memory."""
    saved = checkpoints.read(checkpoint)
    checkpoints.check(checkpoint, saved["origin"], job.origin)
    if saved["global_step"] > job.total_steps:
        raise UserError(
            f"{run.folder}: is at step {saved['global_step']:,} already; it takes max_steps "
            f"(or epochs) that come to as many or more, not to {job.total_steps:,}"
        )


def _fit(trainer: Trainer, job: Job, loop: Loop, run: Run, start: Path | None) -> Result:
    module = job.module
    try:
        trainer.fit(module, ckpt_path=start, weights_only=True)
    except BaseException as error:
        # The other processes would wait for this one for ever.
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGKILL)
        if isinstance(error, SystemExit):  # what Lightning makes of Ctrl-C
            raise KeyboardInterrupt from error
        raise
    if loop.stopped_by == signal.SIGTERM or not trainer.is_global_zero:
        return Result(None, loop.stopped_by)
    if not run.weights_path.exists():
        save_weights(module.evaluated, run.weights_path)
    results = _results(loop.config, run, job, loop) | {"precision": str(trainer.precision)}
    run.save_summary(results)
    return Result(results, loop.stopped_by)


def _trainer(
    config: TaskConfig,
    loop: Loop,
    parts: int,
    checkpoint_io: checkpoints.AtomicCheckpointIO,
) -> Trainer:
    several = config.devices * config.num_nodes > 1
    accelerator = choose_device(config.device).type
    if accelerator == "cuda" and config.devices > torch.cuda.device_count():
        raise UserError(
            f"devices: {config.devices} is more than this machine has: {torch.cuda.device_count()}"
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
        logger=False,
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


def _results(config: TaskConfig, run: Run, job: Job, loop: Loop) -> dict[str, Any]:
    """Evaluate the best weights, exactly."""
    module = job.module
    print("evaluating the best weights on all of the validation and test data", flush=True)
    scores = job.scores(run, module.device)
    course = loop.course
    return {
        "run": str(run.folder),
        "config": config.name,
        "parameters": sum(parameter.numel() for parameter in module.model.parameters()),
        "steps": course.step,
        "finished": not loop.stopped_by,
        **scores,
        "epochs": course.epoch,
        module.unit: course.tokens,
        "best_step": course.best_step,
        "seconds": round(course.seconds, 3),
        f"{module.unit}_per_s": round(course.tokens / course.seconds, 1)
        if course.seconds
        else None,
        "seed": config.seed,
        "commit": provenance.commit(),
        "versions": provenance.versions(),
        "machine": provenance.machine(module.device),
    }


def _quieten() -> None:
    """Lightning's remarks are for those who write training loops, not for those who train."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
