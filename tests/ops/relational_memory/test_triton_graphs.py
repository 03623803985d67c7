"""Which captured loop is lent when. Nothing is computed: the CUDA calls are replaced."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("triton", reason="the package 'triton' is not installed")
    from relational_rnn.ops.relational_memory.triton import graphs

    def mark_as_captured(run: Any) -> None:
        run.captured = True

    monkeypatch.setattr(graphs.Buffers, "allocate", lambda sizes, keep_tape: object())
    monkeypatch.setattr(graphs.BoundLoop, "capture", mark_as_captured)
    monkeypatch.setattr(graphs.BoundLoop, "captured", False, raising=False)
    monkeypatch.setattr(graphs, "CAPTURED_AT_MOST", 2)
    monkeypatch.setattr(graphs, "STALE_AFTER", 10)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    return graphs.Library()


def borrow(library: Any, steps: int = 5, *, keep_tape: bool = True) -> Any:
    from relational_rnn.ops.relational_memory.triton.buffers import Sizes

    sizes = Sizes(
        steps=steps,
        batch=1,
        slots=1,
        extra=1,
        heads=1,
        key=1,
        head=1,
        layers=1,
        gates=1,
        product=torch.float32,
        state=torch.float32,
        device=torch.device("cuda"),
    )
    return library.borrow(sizes, keep_tape=keep_tape)


def test_a_shape_is_captured_when_it_comes_back(library: Any) -> None:
    assert not borrow(library).loop.captured
    assert borrow(library).loop.captured
    assert not borrow(library, keep_tape=False).loop.captured


def test_a_loop_is_lent_again_only_when_returned(library: Any) -> None:
    borrow(library)
    first = borrow(library)
    run = first.loop
    second = borrow(library)
    assert second.loop is not run
    first.end()
    assert borrow(library).loop is run


def test_a_forgotten_loan_ends(library: Any) -> None:
    borrow(library)
    loan = borrow(library)
    run = loan.loop
    del loan
    assert borrow(library).loop is run


def test_no_more_than_so_many_are_captured(library: Any) -> None:
    borrow(library)
    loans = [borrow(library) for _ in range(3)]
    assert [loan.loop.captured for loan in loans] == [True, True, False]


def test_only_what_was_long_unused_makes_room(library: Any) -> None:
    for steps in (1, 1, 2, 2):
        borrow(library, steps)
    assert not any(borrow(library, 3).loop.captured for _ in range(2))
    for _ in range(10):
        borrow(library, 2)
    assert borrow(library, 3).loop.captured  # in place of the loop for one step
    assert borrow(library, 2).loop.captured
    assert not borrow(library, 1).loop.captured


def test_what_is_in_use_does_not_make_room(library: Any) -> None:
    borrow(library, 1)
    loans = [borrow(library, 1), borrow(library, 1)]
    for _ in range(20):
        borrow(library, 2)
    assert not borrow(library, 2).loop.captured
    assert all(loan.loop.captured for loan in loans)


def test_nothing_is_captured_inside_of_another_capture(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    borrow(library)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    assert not borrow(library).loop.captured
