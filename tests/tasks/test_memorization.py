import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relational_rnn.tasks.argument_checks import InvalidArgumentError
from relational_rnn.tasks.characters import PAD
from relational_rnn.tasks.memorization import CATEGORIES, Memorization, evaluate, generate
from relational_rnn.tasks.programs import GrammarError

GOLDENS = Path(__file__).parents[1] / "goldens" / "lte"
FILES = [
    path for path in sorted(GOLDENS.glob("*.jsonl")) if path.name.split("_len")[0] in CATEGORIES
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_lines_agree(path: Path) -> None:
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(samples) >= 30
    for sample in samples:
        assert evaluate(sample["input"], sample["task"]) == sample["target"]


def test_golden_files_are_all_there() -> None:
    assert len(FILES) == 9


@pytest.mark.parametrize(
    "path", [path for path in FILES if "nest1" in path.name], ids=lambda path: path.stem
)
def test_reproduces_the_golden_file_from_its_seed(path: Path) -> None:
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rng = random.Random(samples[0]["seed"])
    for sample in samples:
        made = generate(sample["length"], sample["task"], rng)
        assert made == (sample["input"], sample["target"])


ANSWERS = {"copy": lambda s: s, "reverse": lambda s: s[::-1], "double": lambda s: s + s}


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    category=st.sampled_from(CATEGORIES),
    length=st.integers(1, 25),
    curriculum=st.sampled_from(["maximum", "mix"]),
    seed=st.integers(0, 2**32),
)
def test_batches(category: str, length: int, curriculum: str, seed: int) -> None:
    task = Memorization(category, length=length, curriculum=curriculum)
    inputs, targets, lengths = task.batch(16, np.random.default_rng(seed))
    assert inputs.shape == (length, 16) == (task.input_steps, 16)
    assert targets.shape == (task.target_steps, 16)
    assert inputs.dtype == targets.dtype == lengths.dtype == torch.int64
    assert torch.equal(inputs != PAD, torch.arange(length)[:, None] < lengths)
    read, written = task.vocabulary.decode(inputs), task.vocabulary.decode(targets)
    assert [len(text) for text in read] == lengths.tolist()
    assert written == [ANSWERS[category](text) for text in read]
    assert written == [evaluate(text, category) for text in read]
    ends = (targets != PAD).sum(0)
    assert torch.equal(targets != PAD, torch.arange(task.target_steps)[:, None] < ends)
    if curriculum == "maximum":
        assert set(lengths.tolist()) == {length}


def test_distribution() -> None:
    task = Memorization("copy", length=4, curriculum="mix")
    inputs, _, lengths = task.batch(8000, np.random.default_rng(0))
    texts = task.vocabulary.decode(inputs)
    for counts, values in [
        (Counter(lengths.tolist()), 4),
        (Counter(text[0] for text in texts), 9),
        (Counter("".join(text[1:] for text in texts)), 10),
    ]:
        expected = sum(counts.values()) / values
        assert len(counts) == values
        assert all(abs(count - expected) < 4 * expected**0.5 for count in counts.values())


def test_evaluate_keeps_leading_zeros() -> None:
    assert evaluate("1200", "reverse") == "0021"
    assert evaluate("0012", "copy") == "0012"
    assert evaluate("((12))", "reverse") == "21"


@pytest.mark.parametrize("text", ["", "12a", "(12", "12)", "((1)", ")1(", "1(2)", "-1", "1 2", "٣"])
def test_not_a_string_of_digits(text: str) -> None:
    with pytest.raises(GrammarError, match=r"text must be digits, .*, got '"):
        evaluate(text, "copy")


def test_a_long_string() -> None:
    text, answer = generate(5_000, "double", random.Random(0))
    assert len(text) == 5_000
    assert answer == text * 2


def test_an_answer_too_long_to_write() -> None:
    with pytest.raises(InvalidArgumentError, match="at most 1000000 characters long"):
        evaluate("(" * 60 + "1" + ")" * 60, "double")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"category": "revers"},
            r"category must be one of .*, got 'revers'; did you mean 'reverse'\?",
        ),
        ({"curriculum": "naive"}, "curriculum must be one of 'maximum', 'mix', got 'naive'"),
        ({"length": 0}, "length must be an integer of at least 1, got 0"),
        ({"length": 10**7}, "length must be at most 100,000, got 10000000"),
    ],
    ids=["category", "curriculum", "length", "long"],
)
def test_bad_arguments(arguments, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        Memorization(**arguments)


def test_bad_arguments_of_functions() -> None:
    with pytest.raises(InvalidArgumentError, match=r"category must be one of .*, got 'sort'"):
        evaluate("12", "sort")
    with pytest.raises(InvalidArgumentError, match="length must be an integer of at least 1"):
        generate(0, "copy", random.Random(0))
