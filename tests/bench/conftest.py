import dataclasses
from typing import Any

import pytest

from relational_rnn.bench import report
from relational_rnn.bench.cases import Case

SIZES = {
    "batch_size": 4,
    "bptt": 3,
    "head_size": 16,  # with fewer units, one ReLU that bfloat16 flips is a large error
    "num_heads": 2,
    "key_size": 3,
    "embedding_size": 32,
    "hidden_size": 32,
}


@pytest.fixture
def tiny():
    """Make a case at sizes that take no time."""

    def make(name: str, *, vocabulary_size: int = 30, **overrides: Any) -> Case:
        return Case(name=name, vocabulary_size=vocabulary_size, overrides={**SIZES, **overrides})

    return make


@pytest.fixture
def fake_measure(monkeypatch):
    """Replace what a kind of measurement measures."""

    def fake(kind: str, measure: Any) -> None:
        measurement = dataclasses.replace(report.MEASUREMENTS[kind], measure=measure)
        monkeypatch.setitem(report.MEASUREMENTS, kind, measurement)

    return fake
