"""Sizes that do not fit into memory are refused before they are allocated, with the field named."""

import pytest
import torch

from relational_rnn.config import LanguageModelingConfig, NthFarthestConfig, ProgramsConfig
from relational_rnn.errors import UserError
from relational_rnn.train import required_memory
from relational_rnn.train.required_memory import check, reporting_exhaustion, required


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    monkeypatch.setattr(required_memory, "_machine_memory", lambda: 16e9)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("head_size", value) for value in (20_000, 65_536)),
        ("hidden_size", 65_536),
        ("batch_size", 10**6),
        ("bptt", 10**6),
        ("num_heads", 1024),
    ],
)
def test_a_language_model(name, value):
    model = "lstm" if name == "hidden_size" else "rmc"
    config = LanguageModelingConfig(model=model, **{name: value})
    with pytest.raises(UserError, match=rf"^{name}: {value} does not fit into memory: .*16 GB"):
        check(config, vocabulary_size=1000)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (NthFarthestConfig(objects=30, valid_examples=10**7), "valid_examples"),
        (NthFarthestConfig(objects=1000), "objects"),
        (NthFarthestConfig(model="lstm", hidden_size=65_536), "hidden_size"),
        (ProgramsConfig(readout_size=65_536), "readout_size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_generated_task(config, name):
    with pytest.raises(UserError, match=rf"^{name}: {getattr(config, name)} does not fit into"):
        check(config)


def test_usual_sizes_pass_and_draw_no_random_number():
    state = torch.get_rng_state()
    check(LanguageModelingConfig(embedding_size=650, head_size=300), vocabulary_size=33_278)
    check(NthFarthestConfig(mem_slots=8, batch_size=1600))
    assert torch.equal(torch.get_rng_state(), state)


def test_copies_of_the_weights_are_counted():
    one = LanguageModelingConfig(model="lstm", hidden_size=2000, optimizer="sgd")
    two = LanguageModelingConfig(model="lstm", hidden_size=2000, averaging="ema")
    weights = 4 * (1000 * 128 + 1000 + 4 * 2000 * (128 + 2000 + 2) + 2000 * 128 + 128)
    assert 2 <= required(one, vocabulary_size=1000) / weights < 2.2
    assert 5 <= required(two, vocabulary_size=1000) / weights < 5.2


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ..."),
    ],
)
def test_an_allocation_that_fails_later_is_one_line(error):
    refused = pytest.raises(UserError, match=r"^runs/a: does not fit into memory; make batch_size")
    with refused, reporting_exhaustion("runs/a"):
        raise error
    for other in ("something other", "value cannot be converted to type float without overflow"):
        with pytest.raises(RuntimeError, match=other), reporting_exhaustion("runs/a"):
            raise RuntimeError(other)
