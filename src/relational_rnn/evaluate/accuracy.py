"""Accuracy on generated tasks: of every character, of whole answers, and by difficulty."""

from dataclasses import replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from ..config import GeneratedConfig, MemorizationConfig, NthFarthestConfig, ProgramsConfig
from ..models import TaskModel
from ..tasks.characters import PAD
from ..tasks.generated import build_task
from ..tasks.memorization import Memorization
from ..tasks.nth_farthest import NthFarthest
from ..tasks.programs import Programs
from ..tasks.sampling import Batch, BatchSource


class Score(NamedTuple):
    """How well a batch was answered."""

    loss: float
    """Negative log-likelihood in nats per character (per answer, where that is a class)."""

    accuracy: float
    """Share of the characters (or classes) that are right, padding left out."""

    answer_accuracy: float
    """Share of the answers that are right as a whole."""

    examples: int
    """Number of answers."""

    @classmethod
    def of(cls, sums: Tensor) -> Self:
        """From the sums ``[5]`` that :meth:`Answers.sums` gives, or their mean over processes."""
        loss, right, characters, right_answers, examples = sums.tolist()
        of_characters = max(characters, 1)
        return cls(
            loss / of_characters,
            right / of_characters,
            right_answers / max(examples, 1),
            round(examples),
        )


class Answers(NamedTuple):
    """What a model made of every character of B answers of S characters (S = 1 for a class)."""

    losses: Tensor  # [S, B] nats
    right: Tensor  # [S, B] bool
    counted: Tensor  # [S, B] bool, no padding

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


@torch.no_grad()
def answer(model: TaskModel, batch: Batch, *, batch_size: int) -> Answers:
    """Let a model answer.

    Args:
        model: set to evaluate by the caller, on the device of the batch.
        batch: B examples.
        batch_size: examples to run at once.
    """
    losses, right = [], []
    pieces = zip(
        torch.split(batch.inputs, batch_size, dim=1),
        torch.split(batch.targets, batch_size, dim=-1),
        torch.split(batch.input_lengths, batch_size),
        strict=True,
    )
    for inputs, targets, lengths in pieces:
        logits = model(inputs, lengths, targets).float()  # [..., b, C]
        loss = cross_entropy(
            logits.flatten(0, -2), targets.flatten(), ignore_index=model.padding, reduction="none"
        )
        losses.append(loss.view(-1, len(lengths)))
        right.append((logits.argmax(dim=-1) == targets).view(-1, len(lengths)))
    counted = (batch.targets != model.padding).view(-1, batch.targets.shape[-1])
    return Answers(torch.cat(losses, dim=1), torch.cat(right, dim=1), counted)


def evaluate(model: TaskModel, config: GeneratedConfig, *, stream: str = "test") -> Score:
    """The score on one batch at the greatest length and nesting (the paper, A.2).

    Args:
        model: on any device; put into eval mode and back.
        config: names the task, its seed, and how many examples there are.
        stream: "test" or "valid".
    """
    examples = config.test_examples if stream == "test" else config.valid_examples
    return Score.of(_answered(model, config, stream, examples)[0].sums())


def by_difficulty(model: TaskModel, config: GeneratedConfig) -> list[dict[str, Any]]:
    """Scores of the test for every kind of question, a row each.

    For nth farthest a kind is the place n that is asked for; for programs, length and nesting; for
    memorization the length. All of the test's examples are shared out among the kinds. Shorter
    strings are padded to the steps of the longest, as they are in training.
    """
    if isinstance(config, NthFarthestConfig):
        answers, batch = _answered(model, config, "test", config.test_examples)
        places = batch.inputs[0, :, -config.objects :].argmax(dim=-1)
        return [
            {"n": n, **_score(Answers(*(part[:, places == n] for part in answers)))}
            for n in range(config.objects)
        ]
    kinds: list[dict[str, int]] = []
    if isinstance(config, ProgramsConfig | MemorizationConfig):
        kinds = [{"length": length} for length in range(1, config.length + 1)]
    if isinstance(config, ProgramsConfig):
        nestings = range(1, config.nesting + 1)
        kinds = [{"nesting": nesting, **kind} for nesting in nestings for kind in kinds]
    task = build_task(config, training=False)
    assert not isinstance(task, NthFarthest)
    rows = []
    for kind in kinds:
        some = max(1, config.test_examples // len(kinds))
        easier: dict[str, Any] = {**kind}
        answers, _ = _answered(model, replace(config, **easier), "test", some, steps_of=task)
        rows.append({**kind, **_score(answers)})
    return rows


@torch.no_grad()
def _answered(
    model: TaskModel,
    config: GeneratedConfig,
    stream: str,
    examples: int,
    *,
    steps_of: Programs | Memorization | None = None,
) -> tuple[Answers, Batch]:
    device = next(model.parameters()).device
    source = BatchSource(
        build_task(config, training=False),
        batch_size=examples,
        batches=1,
        seed=config.seed,
        stream=stream,
        device=device,
    )
    training = model.training
    model.eval()
    try:
        batch = source.batch(0)
        if steps_of is not None:
            batch = _padded(batch, steps_of)
        return answer(model, batch, batch_size=config.eval_batch_size), batch
    finally:
        model.train(training)


def _padded(batch: Batch, task: Programs | Memorization) -> Batch:
    """Strings with the steps that those of a harder task have."""
    more = task.input_steps - len(batch.inputs), task.target_steps - len(batch.targets)
    inputs, targets = (
        pad(ids, (0, 0, 0, steps), value=PAD)
        for ids, steps in zip((batch.inputs, batch.targets), more, strict=True)
    )
    return Batch(inputs, targets, batch.input_lengths)


def _score(answers: Answers) -> dict[str, float]:
    return Score.of(answers.sums())._asdict()
