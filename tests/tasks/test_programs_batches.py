import random
import re
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relational_rnn.tasks.argument_checks import InvalidArgumentError
from relational_rnn.tasks.characters import PAD
from relational_rnn.tasks.programs import CATEGORIES, Programs, evaluate, generate


def _decoded(task: Programs, batch_size: int, seed: int) -> list[tuple[str, str]]:
    batch = task.batch(batch_size, np.random.default_rng(seed))
    programs = task.vocabulary.decode(batch.inputs)
    return list(zip(programs, task.vocabulary.decode(batch.targets), strict=True))


def _length(program: str) -> int:
    lengths = {len(number) for number in re.findall(r"\d+", re.sub(r"\[\d\]", "", program))}
    assert len(lengths) == 1
    return lengths.pop()


def _nesting(program: str) -> int:
    return program.count("(") + 1


def _counts(task: Programs) -> set[str]:
    programs = " ".join(program for program, _ in _decoded(task, 200, 0))
    return set(re.findall(r"for\[(\d)\]", programs))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    category=st.sampled_from(sorted(CATEGORIES)),
    length=st.integers(1, 12),  # beyond 8 digits the arithmetic is that of Python integers
    nesting=st.integers(1, 5),
    curriculum=st.sampled_from(["maximum", "mix", "frontier"]),
    seed=st.integers(0, 2**32),
)
def test_answers_are_those_of_evaluate(
    category: str, length: int, nesting: int, curriculum: str, seed: int
) -> None:
    task = Programs(category, length=length, nesting=nesting, curriculum=curriculum)
    for program, answer in _decoded(task, 20, seed):
        assert answer == evaluate(program, _length(program))
        assert _nesting(program) <= nesting
        assert _length(program) <= length


def test_frontier_begins_with_loops_that_run_once() -> None:
    task = Programs("control", length=3, nesting=2, curriculum="frontier")
    assert _counts(task) == {"1"}
    raised = [task.update(0.1) for _ in range(6)]
    assert raised == [True] * 5 + [False]  # to 2 and 3 digits, and to counts of 2, 3 and 9
    assert _counts(task) == set("123456789")


def test_layout() -> None:
    task = Programs("full", length=5, nesting=2)
    inputs, targets, lengths = task.batch(300, np.random.default_rng(0))
    assert inputs.shape == (task.input_steps, 300) == (51, 300)
    assert targets.shape == (task.target_steps, 300) == (6, 300)
    assert inputs.dtype == targets.dtype == lengths.dtype == torch.int64
    assert torch.equal((inputs != PAD).sum(0), lengths)
    steps = torch.arange(51)[:, None]
    assert torch.equal(inputs != PAD, steps < lengths)  # padding only after the end
    written = (targets != PAD).sum(0)
    assert torch.equal(targets != PAD, torch.arange(6)[:, None] < written)
    assert int(inputs.max()) < len(task.vocabulary) == 29
    assert len(set(task.vocabulary.decode(inputs))) == 300


def test_every_symbol_of_the_vocabulary_is_used() -> None:
    used = set("".join(program for program, _ in _decoded(Programs("full"), 500, 0)))
    assert used == set(Programs("full").vocabulary.symbols)


def test_test_batches_are_at_the_maximum() -> None:
    task = Programs("full", length=4, nesting=3, curriculum="maximum")
    for program, _ in _decoded(task, 200, 0):
        assert (_length(program), _nesting(program)) == (4, 3)


def test_mix_draws_length_and_nesting_for_every_sample() -> None:
    samples = _decoded(Programs("full", length=3, nesting=2, curriculum="mix"), 6000, 0)
    levels = Counter((_length(program), _nesting(program)) for program, _ in samples)
    _assert_uniform(levels, 6)


def _assert_uniform(counts: Counter[object], values: int) -> None:
    expected = sum(counts.values()) / values
    assert len(counts) == values
    assert all(abs(count - expected) < 4 * expected**0.5 for count in counts.values()), counts


def _python_samples() -> list[str]:
    rng = random.Random(0)
    return [generate(2, 2, CATEGORIES["full"], rng)[0] for _ in range(9000)]


def _numpy_samples() -> list[str]:
    task = Programs("full", length=2, nesting=2, curriculum="maximum")
    return [program for program, _ in _decoded(task, 9000, 0)]


@pytest.mark.parametrize("samples", [_python_samples, _numpy_samples], ids=["generate", "batch"])
def test_distribution(samples) -> None:
    programs = samples()
    operators: Counter[object] = Counter()
    for program in programs:
        inner = program[program.index("(") + 1 : program.index(")")]
        outer = program.replace(f"({inner})", "E")
        operators[tuple(_operator(part) for part in (inner, outer))] += 1
    _assert_uniform(operators, 25)  # both operations uniform and independent
    text = "".join(programs)
    _assert_uniform(Counter(re.findall(r"\[(\d)\]", text)), 9)
    _assert_uniform(Counter(re.findall(r"[<>]", text)), 2)
    literals = re.findall(r"\d\d", text)
    _assert_uniform(Counter(literal[0] for literal in literals), 9)
    _assert_uniform(Counter(literal[1] for literal in literals), 10)


def _operator(operation: str) -> str:
    found = re.search(r"if|for|[+\-*]", operation)
    assert found is not None
    return found[0]


def test_a_seed_makes_a_batch() -> None:
    task = Programs()
    one, same = (task.sample(16, np.random.SeedSequence(7)) for _ in range(2))
    other = task.sample(16, np.random.SeedSequence(8))
    assert torch.equal(one.inputs, same.inputs)
    assert torch.equal(one.targets, same.targets)
    assert not torch.equal(one.inputs, other.inputs)


def test_encode_is_the_inverse_of_decode() -> None:
    task = Programs("control", length=3, nesting=2)
    batch = task.batch(50, np.random.default_rng(0))
    ids, lengths = task.vocabulary.encode(task.vocabulary.decode(batch.inputs), task.input_steps)
    assert torch.equal(ids, batch.inputs)
    assert torch.equal(lengths, batch.input_lengths)


def test_a_program_beyond_the_encoder_or_the_vocabulary() -> None:
    task = Programs("addition", length=2, nesting=1)
    with pytest.raises(InvalidArgumentError, match=r"at most 5 characters long, .*, got 6: '12"):
        task.vocabulary.encode(["12+345"], task.input_steps)
    with pytest.raises(InvalidArgumentError, match=r"character 2 of '1/2' must be in .*, got '/'"):
        task.vocabulary.encode(["1/2"], task.input_steps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"category": "ful"}, r"category must be one of .*, got 'ful'; did you mean 'full'\?"),
        (
            {"curriculum": "mixed"},
            r"curriculum must be one of .*, got 'mixed'; did you mean 'mix'\?",
        ),
        ({"length": 0}, "length must be an integer of at least 1, got 0"),
        ({"length": 10**7}, "length must be at most 1,000, got 10000000"),
        ({"nesting": 10**6}, "nesting must be at most 10,000, got 1000000"),
        ({"nesting": 0}, "nesting must be an integer of at least 1, got 0"),
    ],
    ids=["category", "curriculum", "length", "long", "deep", "nesting"],
)
def test_bad_arguments(arguments, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Programs(**arguments)


def test_bad_batch_size() -> None:
    with pytest.raises(InvalidArgumentError, match="batch_size must be an integer of at least"):
        Programs().batch(0, np.random.default_rng(0))
