"""Accuracy on generated tasks: of every character, of whole answers, and by difficulty."""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..config import GeneratedConfig, WritingConfig
from ..models import TaskModel
from ..progress import progress
from ..registry import build_task
from ..tasks.memorization import Memorization
from ..tasks.nth_farthest import NthFarthest
from ..tasks.programs import Programs
from ..tasks.sampling import Batch, BatchSource, Task
from ..tasks.task import GeneratedTask, Kind


class Score(NamedTuple):
    """The score of a batch of answers."""

    loss: float
    """Negative log-likelihood in nats per character (per answer, where that is a class)."""

    accuracy: float
    """Share of the characters (or classes) that are right, without padding."""

    answer_accuracy: float
    """Share of the answers that are right as a whole."""

    examples: int
    """Number of answers."""

    @classmethod
    def of(cls, sums: Tensor) -> Self:
        """From the sums ``[5]`` of :meth:`Answers.sums`, or their mean over processes."""
        loss, right, characters, right_answers, examples = sums.tolist()
        of_characters = max(characters, 1)
        return cls(
            loss / of_characters,
            right / of_characters,
            right_answers / max(examples, 1),
            round(examples),
        )


class Answers(NamedTuple):
    """Each character of B answers of S characters (S = 1 for a class), compared with the target."""

    losses: Tensor  # [S, B] nats
    right: Tensor  # [S, B] bool
    counted: Tensor  # [S, B] bool, no padding

    def of_kind(self, kind: Kind, batch: Batch) -> "Answers":
        """Those to questions of a kind, of a batch that may hold several."""
        if kind.which is None:
            return self
        which = kind.which(batch)
        return Answers(*(part[:, which] for part in self))

    def at_place(self, place: int) -> "Answers":
        """The characters at a place, from 0 for the last one: in a number, of 10 ** place."""
        lengths = self.counted.sum(dim=0)  # [B]
        steps = torch.arange(len(self.counted), device=lengths.device)[:, None]  # [S, 1]
        found = (lengths - 1 - steps == place).nonzero(as_tuple=True)
        return Answers(*(part[found][None] for part in self))

    def sums(self) -> Tensor:
        """Loss, right characters, characters, right answers, answers: ``[5]`` on the CPU."""
        right = self.right & self.counted
        values = (
            self.losses.double().sum(),
            right.sum(),
            self.counted.sum(),
            (right == self.counted).all(dim=0).sum(),
            torch.tensor(self.counted.shape[1]),
        )
        return torch.stack([value.cpu().double() for value in values])


MOST_GROUPS = 40
"""Columns of metrics.csv for groups, at most."""


def groups(task: GeneratedTask) -> dict[str, Callable[[Answers, Batch], Answers]]:
    """Parts of the answers to one batch that are worth a score of their own, by name.

    For nth farthest ``n_0``, ``n_1``, ... (the place asked for) and ``m_step_0``, ... (the step
    that shows m), with up to 20 objects; where answers are written ``place_0`` (the last
    character), ``place_1``, ..., 40 at most; else none.
    """
    if isinstance(task, NthFarthest) and 2 * task.objects <= MOST_GROUPS:
        return {
            f"{key}_{value}": partial(_of_kind, kind)
            for kind in task.kinds()
            for key, value in kind.label.items()
        }
    if isinstance(task, Memorization | Programs):
        places = range(min(task.target_steps, MOST_GROUPS))
        return {f"place_{place}": partial(_at_place, place) for place in places}
    return {}


def _of_kind(kind: Kind, answers: Answers, batch: Batch) -> Answers:
    return answers.of_kind(kind, batch)


def _at_place(place: int, answers: Answers, batch: Batch) -> Answers:
    return answers.at_place(place)


@torch.no_grad()
def answer(
    model: TaskModel, batch: Batch, *, batch_size: int, title: str = "evaluating"
) -> Answers:
    """The answers of a model.

    Args:
        model: in eval mode, on the device of the batch.
        batch: B examples.
        batch_size: examples to run at once.
        title: of the progress display.
    """
    losses, right = [], []
    pieces = zip(
        torch.split(batch.inputs, batch_size, dim=1),
        torch.split(batch.targets, batch_size, dim=-1),
        torch.split(batch.input_lengths, batch_size),
        strict=True,
    )
    with progress(title, batch.targets.shape[-1], unit="examples") as advance:
        for inputs, targets, lengths in pieces:
            logits = model(inputs, lengths, targets).float()  # [..., b, C]
            loss = cross_entropy(
                logits.flatten(0, -2),
                targets.flatten(),
                ignore_index=model.padding,
                reduction="none",
            )
            losses.append(loss.view(-1, len(lengths)))
            right.append((logits.argmax(dim=-1) == targets).view(-1, len(lengths)))
            advance(len(lengths))
    counted = (batch.targets != model.padding).view(-1, batch.targets.shape[-1])
    return Answers(torch.cat(losses, dim=1), torch.cat(right, dim=1), counted)


def evaluate(model: TaskModel, config: GeneratedConfig, *, stream: str = "test") -> Score:
    """The score on one batch at the greatest length and nesting (the paper, A.2).

    Args:
        model: on any device; set to eval mode and back.
        config: its task, its seed, and the number of examples.
        stream: "test" or "valid".
    """
    examples = config.test_examples if stream == "test" else config.valid_examples
    task = build_task(config, training=False)
    return Score.of(_answers(model, task, config, stream, examples)[0].sums())


def by_difficulty(model: TaskModel, config: GeneratedConfig) -> list[dict[str, Any]]:
    """Scores of the test for each kind of question, one row each.

    A task says what its kinds are: for nth farthest the place n asked for, and again the step, from
    0, that shows m; for programs nesting and length; for memorization the length. The test's
    examples are divided among the kinds, except for kinds that share a batch. Where answers are
    written, each place of the last kind's answers follows, from 0 for the last character.
    """
    batches = groupby(build_task(config, training=False).kinds(), key=lambda kind: kind.task)
    shared = [(task, list(kinds)) for task, kinds in batches]
    examples = max(1, config.test_examples // len(shared))
    rows = []
    for task, kinds in shared:
        answers, batch = _answers(model, task, config, "test", examples)
        for kind in kinds:
            score = Score.of(answers.of_kind(kind, batch).sums())
            rows.append({**kind.label, **score._asdict()})
    if isinstance(config, WritingConfig):
        rows += [
            {"place": place, **Score.of(answers.at_place(place).sums())._asdict()}
            for place in range(len(answers.counted))
        ]
    return rows


@torch.no_grad()
def _answers(
    model: TaskModel, task: Task, config: GeneratedConfig, stream: str, examples: int
) -> tuple[Answers, Batch]:
    """What the model answers to the first batch of a stream, and the batch."""
    source = BatchSource(
        task,
        batch_size=examples,
        batches=1,
        seed=config.seed,
        stream=stream,
        device=next(model.parameters()).device,
    )
    training = model.training
    model.eval()
    try:
        batch = source.batch(0)
        title = f"evaluating {stream}"
        return answer(model, batch, batch_size=config.eval_batch_size, title=title), batch
    finally:
        model.train(training)
