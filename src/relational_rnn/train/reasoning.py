"""Generated reasoning tasks as a Lightning module: batches, step, validation, curriculum."""

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..config import GeneratedConfig
from ..evaluate.accuracy import Score, answer, groups
from ..models import TaskModel
from ..registry import build_task
from ..tasks.sampling import BatchSource
from ..tasks.task import GeneratedTask
from . import auxiliary
from .module import TrainingModule


class Examples(NamedTuple):
    """A batch of this process, or one micro-batch of it."""

    inputs: Tensor  # [T, b] or [T, b, I]
    targets: Tensor  # [b] or [T_out, b]
    lengths: Tensor  # [b]
    counted: Tensor  # target characters in this process's batch, per micro-batch
    part: int  # number of the micro-batch in the batch, from 0
    epoch: int = 0  # generated tasks have no epochs
    last: bool = False
    amount: int = 1  # examples per column of the batch


class ExampleStream:
    """Endless batches with a position to save; sized for the reason given in ``TrainingStream``.

    Args:
        source: the batches of this process.
        parts: number of micro-batches in a batch.
        padding: target value that is not counted.
    """

    def __init__(self, source: BatchSource, parts: int, padding: int) -> None:
        self.source = source
        self.parts = parts
        self.padding = padding

    def __len__(self) -> int:
        return sys.maxsize

    def __iter__(self) -> Iterator[Examples]:
        for batch in self.source:
            counted = (batch.targets != self.padding).sum() / self.parts
            pieces = zip(
                batch.inputs.chunk(self.parts, dim=1),
                batch.targets.chunk(self.parts, dim=-1),
                batch.input_lengths.chunk(self.parts),
                strict=True,
            )
            for part, piece in enumerate(pieces):
                yield Examples(*piece, counted, part)

    def state_dict(self) -> dict[str, Any]:
        """The position and the curriculum's level, the same on every process."""
        return self.source.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a position."""
        self.source.load_state_dict(state)


class ReasoningTraining(TrainingModule):
    """A model in training on a generated task.

    Args:
        config: the configuration of the run.
        model: the model to train.
        origin: identifies the run in its checkpoints, see :func:`.checkpoints.generated_origin`.

    Attributes:
        task: of the training examples.
        tested: of the validation examples.
        groups: parts of the validation whose accuracy is a column of metrics.csv, see
            :func:`.groups`.
    """

    unit = "examples"
    model: TaskModel

    def __init__(self, config: GeneratedConfig, model: TaskModel, origin: dict[str, Any]) -> None:
        super().__init__(config, model, origin)
        self.config = config
        self.task = build_task(config, training=True)
        self.tested = build_task(config, training=False)
        self.groups = groups(self.tested)
        self.measures = (
            "accuracy",
            "answer_accuracy",
            *(f"accuracy_{name}" for name in self.groups),
        )
        self.auxiliary = auxiliary.build(config, model.core.output_size)

    @staticmethod
    def describe(scores: dict[str, float]) -> str:
        """Format the loss, and the accuracy if there is one."""
        accuracy = f" accuracy {scores['accuracy']:.2%}" if "accuracy" in scores else ""
        loss = scores["loss"]
        return "loss …" if math.isnan(loss) else f"loss {loss:.4f}{accuracy}"

    def training_scores(self, loss: float) -> dict[str, float]:
        """No further columns."""
        return {}

    def train_dataloader(self) -> ExampleStream:
        """The training batches of this process."""
        source = self._source(self.task, "train", self.config.batch_size)
        return ExampleStream(source, self.parts, self.model.padding)

    def training_step(self, batch: Examples, batch_idx: int) -> Tensor:
        """Loss of one batch (or micro-batch) in nats per character, or per answer.

        The loss of the auxiliary heads is added for the gradient only.
        """
        outputs, logits = self.model.read_and_answer(batch.inputs, batch.lengths, batch.targets)
        loss = cross_entropy(
            logits.flatten(0, -2).float(),
            batch.targets.flatten(),
            ignore_index=self.model.padding,
            reduction="sum",
        )
        # Every character of the global batch has the same weight, on whichever process it is.
        loss = loss / self.mean_of_processes(batch.counted)
        self.note(loss.detach())
        if self.auxiliary is not None:
            extra: Tensor = self.auxiliary(outputs, batch.inputs, batch.lengths)
            loss = loss + self.config.auxiliary * extra
        return loss

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Loss and accuracies on a fixed set of examples, as hard as the test examples.

        The accuracy of a group is missing if the set has no example of it.
        """
        model = cast(TaskModel, self.evaluated).eval()
        world_size = self.trainer.world_size
        size = max(1, self.config.valid_examples // world_size) * world_size
        batch = self._source(self.tested, "valid", size).batch(0)
        with self.trainer.precision_plugin.val_step_context():
            answers = answer(
                model, batch, batch_size=self.config.eval_batch_size, title="validating"
            )
            found = [answers, *(group(answers, batch) for group in self.groups.values())]
            sums = torch.stack([each.sums() for each in found])
        model.train()
        exact = self.loss_sum.dtype
        total = self.mean_of_processes(sums.to(self.device, exact)) * world_size
        score, *others = map(Score.of, total)
        scores = {name: getattr(score, name) for name in ("loss", "accuracy", "answer_accuracy")}
        named = zip(self.groups, others, strict=True)
        return scores | {f"accuracy_{name}": each.accuracy for name, each in named if each.examples}

    def error(self, scores: dict[str, float]) -> float:
        """Fraction of wrong characters, or answers, as in the paper.

        The loss is a poor guide: on examples harder than the curriculum has shown so far, wrong
        answers become ever more confident.
        """
        return 1 - scores["accuracy"]

    def row_written(self, loss: float) -> None:
        """Update the curriculum with the training loss."""
        self.task.update(loss)

    def _source(self, task: GeneratedTask, stream: str, batch_size: int) -> BatchSource:
        return BatchSource(
            task,
            batch_size=batch_size,
            batches=sys.maxsize,
            seed=self.config.seed,
            stream=stream,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            device=self.device,
        )
