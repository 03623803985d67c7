"""State tracking: the groups are groups, every target is the product of what was read."""

from functools import reduce
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relational_rnn.tasks.argument_checks import InvalidArgumentError
from relational_rnn.tasks.state_tracking import GROUPS, StateTracking, elements, products
from relational_rnn.tasks.task import NOT_SCORED

ORDERS = {"parity": 2, "modular-addition": 5, "s3": 6, "a5": 60, "s5": 120}
COMMUTES = {"parity", "modular-addition"}


def batch(task: StateTracking, size: int = 16, seed: int = 0):
    return task.sample(size, np.random.SeedSequence(seed))


@pytest.mark.parametrize("group", GROUPS)
def test_the_table_is_a_group_of_the_right_order(group):
    table = products(group)
    order = ORDERS[group]
    assert table.shape == (order, order)
    assert len(elements(group)) == order
    numbers = np.arange(order)
    assert np.array_equal(table[0], numbers)  # number 0 is the identity
    assert np.array_equal(table[:, 0], numbers)
    assert np.array_equal(np.sort(table, axis=0), np.tile(numbers, (order, 1)).T)  # inverses
    some = np.random.default_rng(0).integers(0, order, (3, 500))
    a, b, c = some
    assert np.array_equal(table[table[a, b], c], table[a, table[b, c]])
    assert np.array_equal(table, table.T) == (group in COMMUTES)


def test_a5_is_the_even_half_of_s5_and_is_simple():
    even = elements("a5")
    assert set(even) < set(elements("s5"))
    assert (0, 1, 2, 4, 3) not in even  # a swap
    assert (1, 2, 0, 3, 4) in even  # a cycle of three
    # The commutators generate the whole group, which is what makes its word problem hard.
    table = products("a5")
    inverse = (table == 0).argmax(axis=1)
    commutators = {
        int(table[table[a, b], table[inverse[a], inverse[b]]])
        for a, b in product(range(60), repeat=2)
    }
    assert commutators == set(range(60))


def test_permutations_by_hand():
    numbers = {element: number for number, element in enumerate(elements("s3"))}
    swap, turn = numbers[1, 0, 2], numbers[1, 2, 0]
    # First swap, then turn: item 0 moves to 1 and on to 2; item 1 to 0 and on to 1; item 2 to 0.
    assert products("s3")[swap, turn] == numbers[2, 1, 0]
    assert products("s3")[turn, swap] == numbers[0, 2, 1]


def test_parity_and_sums_by_hand():
    parity = products("parity")
    states = [reduce(lambda a, b: int(parity[a, b]), (1, 0, 1, 1)[:n]) for n in range(1, 5)]
    assert states == [1, 1, 0, 1]
    assert products("modular-addition", 7)[5, 4] == 2


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    group=st.sampled_from(GROUPS),
    modulus=st.integers(2, 9),
    length=st.integers(1, 30),
    curriculum=st.sampled_from(["maximum", "short"]),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_batches(group, modulus, length, curriculum, seed, data):
    short = data.draw(st.integers(1, length))
    task = StateTracking(
        group, modulus=modulus, length=length, train_length=short, curriculum=curriculum
    )
    inputs, targets, lengths = batch(task, 5, seed)
    steps = length if curriculum == "maximum" else short
    assert inputs.shape == targets.shape == (steps, 5)
    assert inputs.dtype == targets.dtype == lengths.dtype == torch.int64
    assert lengths.tolist() == [steps] * 5
    members = elements(group, modulus)
    number = {member: index for index, member in enumerate(members)}
    for column, answers in zip(inputs.T.tolist(), targets.T.tolist(), strict=True):
        if len(members[0]) > 1:  # permutations: where every item is after each step
            state = list(range(len(members[0])))
            for read, answer in zip(column, answers, strict=True):
                state = [members[read][at] for at in state]
                assert number[tuple(state)] == answer
        else:
            expected = (np.cumsum(column) % len(members)).tolist()
            assert answers == expected


@pytest.mark.parametrize("group", GROUPS)
def test_every_element_is_as_frequent_in_inputs_and_targets(group):
    inputs, targets, _ = batch(StateTracking(group), 600)
    for values in (inputs.flatten(), targets[1:].flatten()):
        found = torch.bincount(values).double()
        expected = len(values) / ORDERS[group]
        assert len(found) == ORDERS[group]
        assert float((found - expected).abs().max()) < 5 * expected**0.5


def test_the_kinds_score_every_step_once():
    task = StateTracking("s3", length=100, train_length=24, curriculum="maximum")
    kinds = task.kinds()
    assert [kind.label["length"] for kind in kinds] == [12, 24, 48, 96, 100]
    scored = []
    for kind in kinds:
        examples = kind.task.sample(3, np.random.SeedSequence(1), "cpu")
        here = (examples.targets != NOT_SCORED).all(dim=1)
        assert torch.equal(here, (examples.targets != NOT_SCORED).any(dim=1))
        scored += here.nonzero().flatten().tolist()
    assert scored == list(range(100))
    (only,) = StateTracking(length=1, train_length=1).kinds()
    assert only.label == {"length": 1}


def test_an_example_is_described():
    task = StateTracking("s3", length=3, train_length=3)
    examples = batch(task, 1)
    described = task.describe(examples, examples.targets)
    assert len(described.steps) == 3
    assert set(described.steps) <= {"012", "021", "102", "120", "201", "210"}
    last = "".join(map(str, elements("s3")[int(examples.targets[-1, 0])]))
    assert described.title == f"s3, the state after 3 steps: answer {last}, correct {last}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group": "paritx"}, "got 'paritx'; did you mean 'parity'"),
        ({"modulus": 1}, "modulus must be an integer of at least 2, got 1"),
        ({"length": 0}, "length must be an integer of at least 1, got 0"),
        ({"length": 10**7}, "length must be at most 100,000, got 10000000"),
        ({"length": 20}, "train_length must be at most 20, got 40"),
        ({"curriculum": "mix"}, "curriculum must be one of 'maximum', 'short', got 'mix'"),
    ],
    ids=["group", "modulus", "length", "long", "train length", "curriculum"],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        StateTracking(**arguments)
