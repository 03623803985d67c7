"""Associative recall: every query has one answer, which can be looked up in the pairs."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relational_rnn.tasks.argument_checks import InvalidArgumentError
from relational_rnn.tasks.associative_recall import AssociativeRecall, distinct, gaps


def batch(task: AssociativeRecall, size: int = 16, seed: int = 0):
    return task.sample(size, np.random.SeedSequence(seed))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    pairs=st.integers(1, 8),
    more=st.integers(0, 20),
    half=st.integers(9, 60),
    seed=st.integers(0, 2**32),
)
def test_batches(pairs, more, half, seed):
    T = 4 * pairs + 2 * more
    task = AssociativeRecall(vocabulary_size=2 * half, length=T, pairs=pairs)
    inputs, targets, lengths = batch(task, 5, seed)
    assert inputs.shape == (T, 5, 2)
    assert targets.shape == (pairs, 5)
    assert inputs.dtype == targets.dtype == torch.int64
    assert lengths.tolist() == [T] * 5
    assert 0 <= int(inputs[..., 0].min()) <= int(inputs[..., 0].max()) < 2 * half
    for column, answers in zip(inputs.unbind(1), targets.T.tolist(), strict=True):
        symbols, asked = column.T.tolist()
        keys, values = symbols[0 : 2 * pairs : 2], symbols[1 : 2 * pairs : 2]
        assert len(set(keys)) == len(set(values)) == pairs
        assert all(1 <= key < half for key in keys)
        assert all(half <= value < 2 * half for value in values)
        queries = [step for step, due in enumerate(asked) if due]
        assert all(step >= 2 * pairs and step % 2 == 0 for step in queries)
        assert sorted(symbols[step] for step in queries) == sorted(keys)
        found = dict(zip(keys, values, strict=True))
        assert answers == [found[symbols[step]] for step in queries]


def test_an_example_by_hand():
    """Two pairs in eight steps: both remaining places are asked for, in either order."""
    task = AssociativeRecall(vocabulary_size=8, length=8, pairs=2)
    for seed in range(20):
        symbols, asked = batch(task, 1, seed).inputs[:, 0].unbind(-1)
        targets = batch(task, 1, seed).targets[:, 0].tolist()
        assert asked.tolist() == [0, 0, 0, 0, 1, 0, 1, 0]
        first, value, second, other = symbols[:4].tolist()
        assert symbols[[4, 6]].tolist() in ([first, second], [second, first])
        straight = symbols[4] == first
        assert targets == ([value, other] if straight else [other, value])


def test_distinct_draws_every_ordered_choice_equally_often():
    drawn = distinct(4, 2, 24_000, np.random.default_rng(0))
    counts = Counter(map(tuple, drawn.T.tolist()))
    assert len(counts) == 12
    assert all(abs(count - 2000) < 5 * 2000**0.5 for count in counts.values())
    every = distinct(5, 5, 100, np.random.default_rng(0))
    assert np.array_equal(np.sort(every, axis=0), np.tile(np.arange(5), (100, 1)).T)


def test_early_places_are_preferred_by_the_power_law():
    first = gaps(8, 1, 40_000, np.random.default_rng(0))[0]
    weights = np.arange(1, 9) ** (0.01 - 1.0)
    expected = 40_000 * weights / weights.sum()
    assert np.abs(np.bincount(first, minlength=8) - expected).max() < 5 * expected.max() ** 0.5
    second = gaps(2, 2, 1_000, np.random.default_rng(0))
    assert np.array_equal(second.sum(axis=0), np.ones(1_000))  # without replacement


def test_mixed_batches_have_all_sizes():
    task = AssociativeRecall(vocabulary_size=100, length=32, pairs=4, curriculum="mix")
    assert task.sizes == [(8, 1), (16, 2), (32, 4)]
    seen = Counter(
        (len(each.inputs), len(each.targets)) for each in (batch(task, 2, i) for i in range(300))
    )
    assert set(seen) == set(task.sizes)
    assert min(seen.values()) > 70
    assert [dict(kind.label) for kind in task.kinds()] == [
        {"length": length, "pairs": pairs} for length, pairs in task.sizes
    ]


def test_an_example_is_described():
    task = AssociativeRecall(vocabulary_size=20, length=8, pairs=2)
    examples = batch(task, 1)
    last = int(examples.targets[-1, 0])
    wrong = examples.targets.clone()
    wrong[0] = 0
    title = task.describe(examples, wrong).title
    assert title == f"1 of 2 values recalled; the last: answer {last}, correct {last}"
    steps = task.describe(examples, examples.targets).steps
    assert [step.endswith("?") for step in steps] == [False] * 4 + [True, False] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pairs": 17}, "pairs must be at most 16, got 17"),
        ({"pairs": 0}, "pairs must be an integer of at least 1, got 0"),
        ({"length": 63}, "length must be even, got 63"),
        ({"length": 2}, "length must be an integer of at least 4, got 2"),
        ({"vocabulary_size": 81}, "vocabulary_size must be even, got 81"),
        ({"vocabulary_size": 8}, "pairs must be below half the vocabulary_size, 4, got 4"),
        ({"curriculum": "grow"}, "curriculum must be one of 'maximum', 'mix', got 'grow'"),
    ],
    ids=[
        "many pairs",
        "no pairs",
        "odd length",
        "short",
        "odd vocabulary",
        "few symbols",
        "curriculum",
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        AssociativeRecall(**arguments)
