"""What training needs to know of a task: its model in training, its files, its scores."""

import re
from typing import Any, Protocol, cast

import torch

from ..config import GeneratedConfig, LanguageModelingConfig, TaskConfig
from ..errors import UserError
from ..evaluate import accuracy
from ..evaluate.perplexity import evaluate
from ..models.language_model import LanguageModel
from ..registry import build_task_model, entry, load_language_model, load_task_model, resolve
from ..runs import Run
from ..tasks.language_modeling import Corpus, open_corpus
from ..tasks.language_modeling.batching import Windows, streams
from . import checkpoints
from .generated import GeneratedTraining
from .language_modeling import LanguageModeling
from .module import TrainingModule

DEFAULT_EPOCHS = 10


class Job(Protocol):
    """A task to be trained for.

    Attributes:
        module: the model in training, its weights drawn already.
        total_steps: steps of the whole training.
        origin: what a checkpoint has to say about where it belongs.
    """

    @property
    def module(self) -> TrainingModule:
        """The model in training, its weights drawn already."""

    total_steps: int
    origin: dict[str, Any]

    def check(self, run: Run) -> None:
        """Raise :class:`UserError` unless the run to go on with is of this job."""

    def save(self, run: Run) -> None:
        """Write what belongs to the run beside its configuration."""

    def scores(self, run: Run, device: torch.device) -> dict[str, Any]:
        """Evaluate the best weights, exactly: "valid", "test" and more."""


class LanguageModelingJob:
    """Word language model; see :class:`Job`."""

    def __init__(self, config: LanguageModelingConfig) -> None:
        self.config = config
        self.corpus = open_corpus(config.data)
        self.total_steps = self._total_steps()
        self.origin = checkpoints.origin(config, self.corpus)
        tokens = self.corpus.tokens
        model = LanguageModel(config, len(self.corpus.vocabulary))
        self.module = LanguageModeling(config, model, tokens["train"], tokens["valid"], self.origin)

    def check(self, run: Run) -> None:
        """The vocabulary has to be the same."""
        corpus: Corpus = self.corpus
        if run.vocabulary_path.exists() and run.vocabulary.digest != corpus.vocabulary.digest:
            raise UserError(
                f"{corpus.name}: has another vocabulary ({len(corpus.vocabulary):,} words) than "
                f"{run.vocabulary_path} ({len(run.vocabulary):,}); give the text of the run as "
                "--data"
            )

    def save(self, run: Run) -> None:
        """Write the vocabulary."""
        self.corpus.vocabulary.save(run.vocabulary_path)

    def scores(self, run: Run, device: torch.device) -> dict[str, Any]:
        """Loss and perplexity, in float32 whatever the training was done in."""
        model = load_language_model(run, device)
        scores = {}
        for split in ("valid", "test"):
            score = evaluate(
                model,
                self.corpus.tokens[split],
                start=self.corpus.vocabulary.eos,
                batch_size=self.config.eval_batch_size,
                bptt=self.config.bptt,
            )
            scores[split] = {"loss": score.loss, "perplexity": score.perplexity}
        return scores

    def _total_steps(self) -> int:
        config, tokens = self.config, self.corpus.tokens
        epoch = len(Windows(streams(tokens["train"], config.batch_size), bptt=config.bptt))
        streams(tokens["valid"], 1)
        epochs = config.epochs or (None if config.max_steps else DEFAULT_EPOCHS)
        limits = [config.max_steps, epochs and epochs * epoch]
        return min(limit for limit in limits if limit)


class GeneratedJob:
    """A task whose examples are generated; see :class:`Job`."""

    def __init__(self, config: GeneratedConfig) -> None:
        self.config = config
        self.total_steps = config.total_steps
        self.origin = checkpoints.generated_origin(config)
        self.module = GeneratedTraining(config, build_task_model(config), self.origin)

    def check(self, run: Run) -> None:
        """Nothing but what the checkpoint says."""

    def save(self, run: Run) -> None:
        """Nothing: the configuration says all."""

    def scores(self, run: Run, device: torch.device) -> dict[str, Any]:
        """Loss and accuracy of characters and of answers, and those of every kind of question."""
        model = load_task_model(run, device)
        scores: dict[str, Any] = {
            split: accuracy.evaluate(model, self.config, stream=split)._asdict()
            for split in ("valid", "test")
        }
        return {**scores, "by_difficulty": accuracy.by_difficulty(model, self.config)}


def open_job(config: TaskConfig) -> Job:
    """The job that a configuration describes.

    Raises:
        UserError: its data or its values are not fit for it.
    """
    try:
        return cast(Job, resolve(entry(config).training)(config))
    except ValueError as error:
        raise UserError(str(error)) from error
    except RuntimeError as error:
        if not re.search("can't allocate|overflow", str(error)):
            raise
        raise UserError(
            f"{config.name}: a model of these sizes does not fit into memory; make them smaller"
        ) from error
