"""A task as training sees it: its Lightning module, its files, its final scores."""

from dataclasses import replace
from typing import Any, Protocol, cast

import torch

from ..config import GeneratedConfig, LanguageModelingConfig, TaskConfig
from ..config.fields import deciding
from ..errors import UserError
from ..evaluate import accuracy
from ..evaluate.perplexity import evaluate, in_other_units
from ..models.language_model import LanguageModel
from ..registry import (
    build_task_model,
    entry,
    is_generated,
    load_language_model,
    load_task_model,
    load_weights_of,
    resolve,
    text_sizes,
)
from ..runs import Run
from ..tasks.language_modeling import Corpus, open_corpus
from ..tasks.language_modeling.batching import Windows, streams
from . import checkpoints, required_memory
from .module import TrainingModule
from .reasoning import ReasoningTraining
from .text import TextTraining

DEFAULT_EPOCHS = 10


class TrainingTask(Protocol):
    """A task with its data and an initialised model.

    Attributes:
        config: its configuration; the folder of a text is absolute.
        module: the model in training, with initial weights.
        total_steps: steps of the whole training.
        origin: identifies the run in its checkpoints, see :mod:`.checkpoints`.
    """

    @property
    def module(self) -> TrainingModule:
        """The model in training, with initial weights."""

    config: TaskConfig
    total_steps: int
    origin: dict[str, Any]

    def check(self, run: Run) -> None:
        """Raise :class:`UserError` if ``run``, which is to be resumed, has other data."""

    def start_from(self, run: Run) -> None:
        """Take the weights of ``run``; raise :class:`UserError` if they do not fit."""

    def save(self, run: Run) -> None:
        """Write the files that the run needs in addition to its configuration."""

    def scores(self, run: Run, device: torch.device) -> dict[str, Any]:
        """Evaluate the best weights exactly: the scores of "valid", "test" and others."""


class TextTask:
    """Word-level language modelling; see :class:`TrainingTask`."""

    def __init__(self, config: LanguageModelingConfig) -> None:
        self.corpus = open_corpus(config.data)
        self.config = config = replace(config, data=self.corpus.source)
        self.total_steps = self._total_steps()
        self.origin = checkpoints.origin(config, self.corpus)
        tokens = self.corpus.tokens
        sizes = text_sizes(self.corpus.vocabulary)
        required_memory.check(config, **sizes)
        model = LanguageModel(config, **sizes)
        self.module = TextTraining(config, model, tokens["train"], tokens["valid"], self.origin)

    def check(self, run: Run) -> None:
        """Check that the corpus is the text of the run."""
        corpus: Corpus = self.corpus
        if run.vocabulary_path.exists() and run.vocabulary.digest != corpus.vocabulary.digest:
            raise UserError(
                f"{corpus.name}: has another vocabulary ({len(corpus.vocabulary):,} words) than "
                f"{run.vocabulary_path} ({len(run.vocabulary):,}); pass the text that the run was "
                "trained on as --data"
            )
        if run.text_digest not in (None, corpus.digest):
            raise UserError(
                f"{corpus.name}: is another text than {run.folder} was trained on, although its "
                "vocabulary is the same; pass the text that the run was trained on as --data"
            )

    def start_from(self, run: Run) -> None:
        """Take the weights of a run with the same vocabulary."""
        vocabulary = self.corpus.vocabulary
        if is_generated(run.config) or run.vocabulary.digest != vocabulary.digest:
            raise UserError(
                f"start: {run.folder} has another vocabulary than {self.corpus.name} "
                f"({len(vocabulary):,} words); its weights fit only the text it was trained on"
            )
        _check_model(run, self.config)
        load_weights_of(run, self.module.model)

    def save(self, run: Run) -> None:
        """Write the vocabulary and its tokenizer, and which text it is."""
        run.save_vocabulary(self.corpus.vocabulary)
        run.save_text(self.corpus.source, self.corpus.digest)

    def scores(self, run: Run, device: torch.device) -> dict[str, Any]:
        """Loss and perplexity, in float32 for any training precision."""
        model = load_language_model(run, device)
        scores = {}
        for split in ("valid", "test"):
            score = evaluate(
                model,
                self.corpus.tokens[split],
                start=self.corpus.vocabulary.eos,
                batch_size=self.config.eval_batch_size,
                bptt=self.config.bptt,
                title=f"evaluating {split}",
            )
            scores[split] = {
                "loss": score.loss,
                "perplexity": score.perplexity,
                **in_other_units(score, self.corpus.sizes.get(split)),
            }
        return scores

    def _total_steps(self) -> int:
        config, tokens = self.config, self.corpus.tokens
        epoch = len(Windows(streams(tokens["train"], config.batch_size), bptt=config.bptt))
        streams(tokens["valid"], 1)
        epochs = config.epochs or (None if config.max_steps else DEFAULT_EPOCHS)
        limits = [config.max_steps, epochs and epochs * epoch]
        return min(limit for limit in limits if limit)


class ReasoningTask:
    """A generated reasoning task; see :class:`TrainingTask`."""

    def __init__(self, config: GeneratedConfig) -> None:
        self.config = config
        self.total_steps = config.total_steps
        self.origin = checkpoints.generated_origin(config)
        required_memory.check(config)
        self.module = ReasoningTraining(config, build_task_model(config), self.origin)

    def check(self, run: Run) -> None:
        """Nothing to check: the checkpoint's origin identifies the task."""

    def start_from(self, run: Run) -> None:
        """Take the weights of a run of the same task."""
        if run.config.task != self.config.task:
            raise UserError(
                f"start: {run.folder} is a run of {run.config.task}, not of {self.config.task}"
            )
        _check_model(run, self.config)
        load_weights_of(run, self.module.model)

    def save(self, run: Run) -> None:
        """Nothing to write: the configuration defines the task."""

    def scores(self, run: Run, device: torch.device) -> dict[str, Any]:
        """Loss, character and answer accuracy, in total and by difficulty."""
        model = load_task_model(run, device)
        scores: dict[str, Any] = {
            split: accuracy.evaluate(model, self.config, stream=split)._asdict()
            for split in ("valid", "test")
        }
        return {**scores, "by_difficulty": accuracy.by_difficulty(model, self.config)}


def _check_model(run: Run, config: TaskConfig) -> None:
    """Raise :class:`UserError` unless the run has a model as this configuration's.

    Weights of equal shapes do not suffice: two heads of 8 units have those of one head of 16. A
    size that is derived (null) is left to the shapes.
    """
    idle = config.without_effect()
    constants = ("forget_bias", "input_bias") if config.model == "rmc" else ()
    for name in (*deciding(type(config), "model"), *constants):
        found, wanted = getattr(run.config, name), getattr(config, name)
        same = name == "model" and {found, wanted} == {"lstm", "lstm-loop"}
        if name not in idle and None not in (found, wanted) and found != wanted and not same:
            raise UserError(
                f"start: {run.folder} has the weights of another model: its {name} is {found}, "
                f"this run's is {wanted}"
            )


def open_task(config: TaskConfig) -> TrainingTask:
    """Prepare the data and build the model that a configuration describes.

    Raises:
        UserError: the data or the values of the configuration do not fit the task, or the model
            does not fit into memory.
    """
    try:
        with required_memory.reporting_exhaustion(config.name):
            return cast(TrainingTask, resolve(entry(config).training)(config))
    except ValueError as error:
        raise UserError(str(error)) from error
