from typing import Any

import pytest

from relational_rnn.bench.rows import Case

SIZES = {
    "batch_size": 4,
    "bptt": 3,
    "head_size": 4,
    "num_heads": 2,
    "key_size": 3,
    "embedding_size": 8,
    "hidden_size": 8,
}


@pytest.fixture
def tiny():
    """Make the case of a row at sizes that take no time."""

    def make(row: str, *, vocabulary_size: int = 30, **overrides: Any) -> Case:
        return Case(row=row, vocabulary_size=vocabulary_size, overrides={**SIZES, **overrides})

    return make
