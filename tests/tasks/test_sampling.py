import json

import pytest
import torch

from relational_rnn.tasks.argument_checks import InvalidArgumentError
from relational_rnn.tasks.associative_recall import AssociativeRecall
from relational_rnn.tasks.memorization import Memorization
from relational_rnn.tasks.nth_farthest import NthFarthest
from relational_rnn.tasks.programs import Programs
from relational_rnn.tasks.sampling import Batch, BatchSource, Task
from relational_rnn.tasks.state_tracking import StateTracking

TASKS = {
    "nth_farthest": lambda: NthFarthest(4, 3),
    "programs": lambda: Programs("full", length=2, nesting=2, curriculum="combined"),
    "memorization": lambda: Memorization("double", length=4),
    "state_tracking": lambda: StateTracking("s3", length=9, train_length=5),
    "associative_recall": lambda: AssociativeRecall(length=16, pairs=2, curriculum="mix"),
}


def _source(task: Task, **changed: object) -> BatchSource:
    arguments = {"batch_size": 12, "batches": 4, "seed": 5, **changed}
    return BatchSource(task, **arguments)  # type: ignore[arg-type]


def _equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    return TASKS[request.param]()


def test_batches_are_functions_of_seed_stream_and_index(task: Task) -> None:
    source, again = _source(task), _source(task)
    kept = [again.batch(i) for i in (3, 2, 1, 0)][::-1]
    assert all(_equal(batch, source.batch(i)) for i, batch in enumerate(kept))
    assert all(_equal(batch, k) for batch, k in zip(source, kept, strict=True))
    for changed in ({"seed": 6}, {"stream": "test"}, {"stream": "valid"}):
        other = _source(task, **changed)
        for i in range(4):
            assert not torch.equal(other.batch(i).inputs, source.batch(i).inputs)
    assert not torch.equal(kept[0].inputs, kept[1].inputs)


def test_epochs_go_on_with_new_batches(task: Task) -> None:
    source = _source(task)
    assert len(source) == 4
    batches = [*source, *source]
    assert len(batches) == 8
    assert all(_equal(batch, source.batch(i)) for i, batch in enumerate(batches))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_share_the_global_batch(task: Task, world_size: int) -> None:
    whole = _source(task).batch(2)
    for rank in range(world_size):
        part = _source(task, rank=rank, world_size=world_size).batch(2)
        assert part.input_lengths.shape == (12 // world_size,)
        assert torch.equal(part.inputs, whole.inputs[:, rank::world_size])
        assert torch.equal(part.targets, whole.targets[..., rank::world_size])
        assert torch.equal(part.input_lengths, whole.input_lengths[rank::world_size])


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 6])
def test_resume(task: Task, cut: int) -> None:
    straight = _source(task)
    expected = [*straight, *straight]

    first, seen = _source(task), []
    state = first.state_dict()
    while len(seen) < cut:
        for batch in first:
            seen.append(batch)
            state = json.loads(json.dumps(first.state_dict()))
            if len(seen) == cut:
                break
    second = _source(task)
    second.load_state_dict(state)
    while len(seen) < 8:
        seen.extend(second)
    assert len(seen) == 8
    assert all(_equal(one, other) for one, other in zip(seen, expected, strict=True))


def test_the_level_of_the_task_is_resumed() -> None:
    programs = Programs("full", length=3, nesting=2, curriculum="naive")
    source = _source(programs)
    while not programs.curriculum.update(1.0):
        pass
    fresh = Programs("full", length=3, nesting=2, curriculum="naive")
    other = _source(fresh)
    assert not _equal(source.batch(0), other.batch(0))
    other.load_state_dict(source.state_dict())
    assert fresh.curriculum.length == 2
    assert _equal(source.batch(0), other.batch(0))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"batches": 0}, "batches must be an integer of at least 1, got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"stream": "vaild"}, r"stream must be one of .*, got 'vaild'; did you mean 'valid'\?"),
        ({"rank": 2, "world_size": 2}, "world_size must be an integer of at least 3, got 2"),
        ({"world_size": 5}, "batch_size must be a multiple of the 5 processes, got 12"),
    ],
    ids=["batch_size", "batches", "seed", "stream", "rank", "world_size"],
)
def test_bad_arguments(changed: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        _source(NthFarthest(4, 3), **changed)
