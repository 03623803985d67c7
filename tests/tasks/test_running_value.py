"""The value of a program after each of its characters."""

import random

import numpy as np
import pytest
import torch

from relational_rnn.tasks.programs import Programs, evaluate
from relational_rnn.tasks.programs.batched_generator import VOCABULARY
from relational_rnn.tasks.programs.generator import CATEGORIES, generate
from relational_rnn.tasks.programs.running_value import running_values


def values(*programs: str) -> list[list[int]]:
    steps = max(map(len, programs))
    ids = torch.zeros(steps, len(programs), dtype=torch.int64)
    for column, program in enumerate(programs):
        ids[: len(program), column] = torch.tensor([VOCABULARY.index[c] for c in program])
    return running_values(ids)[0].T.tolist()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("12+34", [10, 12, 12, 42, 46]),
        ("(99+99)+99", [0, 90, 99, 99, 189, 198, 198, 198, 288, 297]),
        ("999+1", [900, 990, 999, 999, 1099]),  # one digit of 100
        ("5-7", [5, 5, 98]),
        ("7*8", [7, 7, 56]),
        ("4if3<5else9", [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4]),
        ("4if5<3else9", [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 9]),
        ("x=2for[3]x+=4", [0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 14]),
    ],
)
def test_by_hand(program, expected):
    assert values(program) == [expected]


@pytest.mark.parametrize("category", CATEGORIES)
def test_ends_with_the_answer_at_every_length_and_nesting(category):
    rng = random.Random(1)
    for length in (1, 5, 8):
        for nesting in (1, 2, 4):
            made = [generate(length, nesting, CATEGORIES[category], rng) for _ in range(20)]
            for (program, answer), read in zip(
                made, values(*(program for program, _ in made)), strict=True
            ):
                assert read[len(program) - 1 :] == [int(answer)] * (len(read) - len(program) + 1)


def test_unread_digits_count_as_zeros():
    task = Programs("addition", length=3, nesting=2, curriculum="maximum")
    batch = task.batch(50, np.random.default_rng(1))
    read, digits = running_values(batch.inputs)
    assert digits.tolist() == [3] * 50
    for column, ids in enumerate(batch.inputs.T.tolist()):
        text = "".join(VOCABULARY.symbols[i - 1] for i in ids if i)
        for end in range(2, len(text) + 1):
            seen = text[:end] + "".join("0" if c.isdigit() else c for c in text[end:])
            assert read[end - 1, column] == int(evaluate(seen, 3))
