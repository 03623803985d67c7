import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relational_rnn.tasks.argument_checks import InvalidArgumentError
from relational_rnn.tasks.programs import (
    CATEGORIES,
    OPERATORS,
    evaluate,
    generate,
    longest_program,
)

GOLDENS = Path(__file__).parents[1] / "goldens" / "lte"
FILES = [
    path for path in sorted(GOLDENS.glob("*.jsonl")) if path.name.split("_len")[0] in CATEGORIES
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_reproduces_the_golden_file_from_its_seed(path: Path) -> None:
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rng = random.Random(samples[0]["seed"])
    for sample in samples:
        made = generate(sample["length"], sample["nesting"], CATEGORIES[sample["task"]], rng)
        assert made == (sample["input"], sample["target"])


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    length=st.integers(1, 9),
    nesting=st.integers(1, 6),
    operators=st.sets(st.sampled_from(OPERATORS), min_size=1).map(sorted),
    seed=st.integers(0, 2**32),
)
def test_generated_programs(length: int, nesting: int, operators: list[str], seed: int) -> None:
    program, answer = generate(length, nesting, operators, random.Random(seed))
    assert answer == evaluate(program, length)
    assert 1 <= len(answer) <= length + 1
    assert len(program) <= longest_program(length, nesting, operators)
    literals = re.findall(r"\d+", re.sub(r"\[\d\]", "", program))
    assert all(len(literal) == length and literal[0] != "0" for literal in literals)
    # A chain that leans to the left: brackets open before the first literal only.
    head = re.match(r"(\(|x=)*", program)
    assert head is not None
    assert program.count("(") == head[0].count("(") == nesting - 1
    found = Counter(re.findall(r"(?<!x)[+\-*]|if|for", program))
    assert sum(found.values()) == nesting
    assert set(found) <= set(operators)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize(("length", "nesting"), [(1, 1), (2, 3), (5, 2)])
def test_longest_program_is_reached(category: str, length: int, nesting: int) -> None:
    rng = random.Random(0)
    operators = CATEGORIES[category]
    longest = max(len(generate(length, nesting, operators, rng)[0]) for _ in range(2000))
    assert longest == longest_program(length, nesting, operators)


def test_longest_programs_of_the_paper() -> None:
    assert longest_program(5, 2, CATEGORIES["addition"]) == 19
    assert longest_program(5, 2, CATEGORIES["control"]) == 51
    assert longest_program(6, 3, CATEGORIES["full"]) == 85


@pytest.mark.parametrize(
    ("length", "nesting", "operators", "message"),
    [
        (0, 1, ["+"], "length must be an integer of at least 1, got 0"),
        (10**7, 1, ["+"], "length must be at most 1,000, got 10000000"),
        (1, 10**6, ["+"], "nesting must be at most 10,000, got 1000000"),
        (1, 0, ["+"], "nesting must be an integer of at least 1, got 0"),
        (1, 1, [], "operators must hold at least one of .*, got none"),
        (
            1,
            1,
            ["+", "iff"],
            r"operator must be one of '\+', .*, got 'iff'; did you mean 'if'\?",
        ),
        (1, 1, ["/"], "operator must be one of .*, got '/'$"),
    ],
)
def test_bad_arguments(length: int, nesting: int, operators: list[str], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        generate(length, nesting, operators, random.Random(0))
