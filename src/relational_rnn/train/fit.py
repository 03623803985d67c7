"""Train a model from its configuration to its summary."""

import logging
import signal
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Trainer

from ..config import LanguageModelingConfig
from ..errors import UserError
from ..evaluate.perplexity import evaluate
from ..models.language_model import LanguageModel
from ..runs import Run, process_rank, save_weights
from ..tasks.language_modeling import Corpus, open_corpus
from ..tasks.language_modeling.batching import Windows, streams
from . import checkpoints, summary
from .language_modeling import LanguageModeling
from .loop import Loop
from .signals import Stopper

DEFAULT_EPOCHS = 10
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


def fit(config: LanguageModelingConfig, *, run: Run, resume: bool) -> Result:
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
    corpus = open_corpus(config.data)
    total_steps = _total_steps(config, corpus)
    torch.manual_seed(config.seed)
    try:
        model = LanguageModel(config, len(corpus.vocabulary))
    except ValueError as error:
        raise UserError(str(error)) from error
    origin = checkpoints.origin(config, corpus)
    if resume and run.vocabulary_path.exists():
        _check_vocabulary(run, corpus)
    resume = resume and run.last_path.exists()
    if resume:
        checkpoints.check(run.last_path, checkpoints.read(run.last_path)["origin"], origin)
    if process_rank() == 0:
        run.save_config(config)
        corpus.vocabulary.save(run.vocabulary_path)
    module = LanguageModeling(config, model, corpus.tokens["train"], corpus.tokens["valid"], origin)
    checkpoint_io = checkpoints.AtomicCheckpointIO()
    with Stopper() as stopper:
        loop = Loop(config, run, total_steps, checkpoint_io, stopper)
        trainer = _trainer(config, loop, module.parts, checkpoint_io)
        try:
            trainer.fit(module, ckpt_path=run.last_path if resume else None, weights_only=True)
        except BaseException:
            # The other processes would wait for this one for ever.
            if trainer.strategy.launcher is not None:
                trainer.strategy.launcher.kill(signal.SIGKILL)
            raise
    if loop.stopped_by == signal.SIGTERM or not trainer.is_global_zero:
        return Result(None, loop.stopped_by)
    if not run.weights_path.exists():
        save_weights(module.evaluated, run.weights_path)
    results = _results(config, run, corpus, loop, module.device)
    run.save_summary(results)
    return Result(results, loop.stopped_by)


def _check_vocabulary(run: Run, corpus: Corpus) -> None:
    if run.vocabulary.digest != corpus.vocabulary.digest:
        raise UserError(
            f"{corpus.name}: has another vocabulary ({len(corpus.vocabulary):,} words) than "
            f"{run.vocabulary_path} ({len(run.vocabulary):,}); give the text of the run as --data"
        )


def _total_steps(config: LanguageModelingConfig, corpus: Corpus) -> int:
    epoch = len(Windows(streams(corpus.tokens["train"], config.batch_size), bptt=config.bptt))
    streams(corpus.tokens["valid"], 1)
    epochs = config.epochs or (None if config.max_steps else DEFAULT_EPOCHS)
    limits = [config.max_steps, epochs and epochs * epoch]
    return min(limit for limit in limits if limit)


def _trainer(
    config: LanguageModelingConfig,
    loop: Loop,
    parts: int,
    checkpoint_io: checkpoints.AtomicCheckpointIO,
) -> Trainer:
    several = config.devices * config.num_nodes > 1
    return Trainer(
        accelerator=config.device,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=DISTRIBUTED_STRATEGY if several else "auto",
        precision="bf16-mixed" if config.precision == "bf16-mixed" else "32-true",
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


def _results(
    config: LanguageModelingConfig, run: Run, corpus: Corpus, loop: Loop, device: torch.device
) -> dict[str, Any]:
    """Evaluate the best weights, exactly."""
    model = run.load_model(device)
    scores = {}
    for split in ("valid", "test"):
        score = evaluate(
            model,
            corpus.tokens[split],
            start=corpus.vocabulary.eos,
            batch_size=config.eval_batch_size,
            bptt=config.bptt,
            precision=config.precision,
        )
        scores[split] = {"loss": score.loss, "perplexity": score.perplexity}
    course = loop.course
    return {
        "run": str(run.folder),
        "config": config.name,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": course.step,
        **scores,
        "epochs": course.epoch,
        "tokens": course.tokens,
        "best_step": course.best_step,
        "seconds": round(course.seconds, 3),
        "tokens_per_s": round(course.tokens / course.seconds, 1) if course.seconds else None,
        "seed": config.seed,
        "commit": summary.commit(),
        "versions": summary.versions(),
        "machine": summary.machine(device),
    }


def _quieten() -> None:
    """Lightning's remarks are for those who write training loops, not for those who train."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
