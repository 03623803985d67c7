"""Accuracy against answers that are right and wrong by construction."""

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot

from relational_rnn.config import (
    AssociativeRecallConfig,
    MemorizationConfig,
    NthFarthestConfig,
    ProgramsConfig,
    StateTrackingConfig,
)
from relational_rnn.evaluate.accuracy import Score, answer, by_difficulty, evaluate
from relational_rnn.registry import build_task, build_task_model
from relational_rnn.tasks.sampling import Batch

SMALL = {"head_size": 4, "num_heads": 1, "readout_size": 8, "test_examples": 60}


class Oracle(nn.Module):
    """Gives the targets, but for the characters of some places and examples."""

    padding = 0

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def forward(self, inputs, lengths, targets):
        given = targets.clone()
        for step, example in self.wrong:
            given[step, example] = targets[step, example] % 9 + 1
        return 50.0 * one_hot(given, 10)


def test_characters_and_answers():
    targets = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 0], [8, 0, 0, 0]])  # 4 answers, 8 characters
    batch = Batch(torch.zeros(2, 4, 1), targets, torch.full((4,), 2))
    wrong = [(0, 0), (2, 0), (1, 2)]
    score = Score.of(answer(Oracle(wrong), batch, batch_size=4).sums())
    assert score.accuracy == pytest.approx(5 / 8)
    assert score.answer_accuracy == 2 / 4
    assert score.examples == 4
    assert score.loss == pytest.approx(3 * 50 / 8, rel=1e-5)


def test_wrong_padding_does_not_count():
    targets = torch.tensor([[1, 2], [3, 0]])
    batch = Batch(torch.zeros(2, 2, 1), targets, torch.full((2,), 2))
    score = Score.of(answer(Oracle([(1, 1)]), batch, batch_size=2).sums())
    assert (score.accuracy, score.answer_accuracy, score.loss) == (1, 1, pytest.approx(0, abs=1e-6))


def test_places_are_counted_from_the_last_character():
    targets = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 0], [8, 0, 0, 0]])  # 158, 26, 37 and 4
    batch = Batch(torch.zeros(2, 4, 1), targets, torch.full((4,), 2))
    wrong = [(2, 0), (1, 2), (0, 2)]  # the 8, the 7 and the 3
    answers = answer(Oracle(wrong), batch, batch_size=4)
    scores = [Score.of(answers.at_place(place).sums()) for place in range(3)]
    assert [score.examples for score in scores] == [4, 3, 1]
    assert [score.accuracy for score in scores] == pytest.approx([2 / 4, 2 / 3, 1])


CONFIGS = [
    pytest.param(NthFarthestConfig(objects=3, features=2, **SMALL), id="nth-farthest"),
    pytest.param(ProgramsConfig(length=2, nesting=2, **SMALL), id="programs"),
    pytest.param(MemorizationConfig(length=3, **SMALL), id="memorization"),
    pytest.param(
        StateTrackingConfig(group="s3", length=9, train_length=4, **SMALL), id="state-tracking"
    ),
    pytest.param(
        AssociativeRecallConfig(vocabulary_size=20, length=16, pairs=4, **SMALL),
        id="associative-recall",
    ),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_any_evaluation_batch_gives_the_same(config):
    torch.manual_seed(0)
    model = build_task_model(config)
    whole = evaluate(model, config)
    config.eval_batch_size = 7
    assert evaluate(model, config) == pytest.approx(whole)
    assert model.training


@pytest.mark.parametrize("config", CONFIGS)
def test_difficulties_share_out_the_test(config):
    torch.manual_seed(0)
    rows = by_difficulty(build_task_model(config), config)
    kinds = {
        "nth-farthest": 3 + 3,
        "programs": 4 + 3,
        "memorization": 3 + 3,
        "state-tracking": 4,
        "associative-recall": 3,
    }
    assert len(rows) == kinds[config.task]
    times = 2 if config.task == "nth-farthest" else 1  # by n, and by the step that shows m
    parts = [row["examples"] for row in rows if "place" not in row]
    assert sum(parts) == times * config.test_examples


@pytest.mark.parametrize("config", CONFIGS[1:3])
def test_shorter_strings_take_the_steps_of_the_longest(config, monkeypatch):
    model = build_task_model(config)
    seen = []
    forward = model.forward
    monkeypatch.setattr(
        model,
        "forward",
        lambda inputs, lengths, targets: (
            seen.append((len(inputs), len(targets), lengths.max().item()))
            or forward(inputs, lengths, targets)
        ),
    )
    by_difficulty(model, config)
    task = build_task(config, training=False)
    assert {steps[:2] for steps in seen} == {(task.input_steps, task.target_steps)}
    assert min(length for _, _, length in seen) < max(length for _, _, length in seen)


def test_places_of_nth_farthest_add_up_to_the_whole():
    config = CONFIGS[0].values[0]
    torch.manual_seed(0)
    model = build_task_model(config)
    rows = by_difficulty(model, config)
    for name in ("n", "m_step"):
        some = [row for row in rows if name in row]
        assert [row[name] for row in some] == [0, 1, 2]
        right = sum(row["accuracy"] * row["examples"] for row in some)
        assert right / config.test_examples == pytest.approx(evaluate(model, config).accuracy)
