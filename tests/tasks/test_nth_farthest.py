from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relational_rnn.tasks.argument_checks import InvalidArgumentError
from relational_rnn.tasks.nth_farthest import NthFarthest, knowledge, label, plateaus

GOLDENS = Path(__file__).parents[1] / "goldens" / "nth_farthest"


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _taken_apart(inputs: torch.Tensor, objects: int) -> tuple[torch.Tensor, ...]:
    """Return vectors [B, T, F], ids [B, T], m [B, T], n [B, T] of inputs [T, B, F + 3 * O]."""
    features = inputs.shape[-1] - 3 * objects
    vectors, *hot = inputs.transpose(0, 1).split([features, objects, objects, objects], dim=-1)
    for part in hot:
        assert torch.equal(part.sum(-1), torch.ones(part.shape[:2]))
        assert set(part.unique().tolist()) <= {0.0, 1.0}
    return (vectors, *(part.argmax(-1) for part in hot))


@pytest.mark.parametrize(("name", "objects"), [("n8_d16", 8), ("n4_d4", 4)])
@pytest.mark.parametrize("order", ["nearest", "farthest"])
def test_golden_samples_agree(name: str, objects: int, order: str) -> None:
    with np.load(GOLDENS / f"{name}.npz", allow_pickle=False) as golden:
        inputs = torch.from_numpy(golden["inputs"]).transpose(0, 1)
        labels = torch.from_numpy(golden["labels"]).long()
    vectors, ids, m, n = _taken_apart(inputs, objects)
    asked = n[:, 0] if order == "nearest" else objects - 1 - n[:, 0]
    assert len(labels) == 64
    assert torch.equal(label(vectors, ids, m[:, 0], asked, order), labels)


def test_an_example_by_hand() -> None:
    vectors = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [0.0, 1.0], [2.0, 2.0]]])
    ids = torch.tensor([[2, 0, 3, 1]])

    def answers(order: str) -> list[int]:
        return [
            int(label(vectors, ids, torch.tensor([2]), torch.tensor([n]), order)) for n in range(4)
        ]

    assert answers("nearest") == [2, 3, 1, 0]
    assert answers("farthest") == [0, 1, 3, 2]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    objects=st.integers(2, 9),
    features=st.integers(1, 6),
    order=st.sampled_from(["farthest", "nearest"]),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
def test_batches(objects: int, features: int, order: str, seed: int, data: st.DataObject) -> None:
    task = NthFarthest(objects, features, order)
    task.present = present = data.draw(st.integers(2, objects))
    inputs, targets = task.batch(12, _generator(seed))
    assert inputs.shape == (present, 12, task.input_size)
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
    vectors, ids, m, n = _taken_apart(inputs, objects)
    assert bool((vectors.abs() <= 1).all())
    assert torch.equal(m, m[:, :1].expand_as(m))  # the same question at every step
    assert torch.equal(n, n[:, :1].expand_as(n))
    for b in range(12):
        seen = ids[b].tolist()
        assert len(set(seen)) == present
        reference = vectors[b, seen.index(int(m[b, 0]))].double()
        far = [float((vector.double() - reference).norm()) for vector in vectors[b]]
        ranking = sorted(range(present), key=far.__getitem__, reverse=order == "farthest")
        assert int(targets[b]) == seen[ranking[int(n[b, 0])]]


@pytest.mark.parametrize("present", [5, 3])
def test_distribution(present: int) -> None:
    task = NthFarthest(5, 3)
    task.present = present
    inputs, targets = task.batch(20_000, _generator())
    vectors, ids, m, n = _taken_apart(inputs, 5)
    for values, count in [(ids[:, 0], 5), (m[:, 0], 5), (targets, 5), (n[:, 0], present)]:
        found = torch.bincount(values).double()
        assert len(found) == count
        assert float((found - 20_000 / count).abs().max()) < 4 * (20_000 / count) ** 0.5
    assert abs(float(vectors.mean())) < 0.01
    assert abs(float(vectors.var()) - 1 / 3) < 0.01
    is_m = (n[:, 0] == present - 1).sum()
    assert int((targets == m[:, 0]).sum()) == int(is_m)  # the last place is m itself


def test_a_generator_makes_a_batch() -> None:
    task = NthFarthest(4, 4)
    one, same = (task.batch(16, _generator(3)) for _ in range(2))
    other = task.batch(16, _generator(4))
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


def test_sample() -> None:
    task = NthFarthest(4, 4)
    task.present = 3
    batch = task.sample(8, np.random.SeedSequence(1))
    assert batch.inputs.shape == (3, 8, 16)
    assert batch.input_lengths.tolist() == [3] * 8


def test_state() -> None:
    task = NthFarthest(6, 2)
    task.present = 4
    other = NthFarthest(6, 2)
    other.load_state_dict(task.state_dict())
    assert other.present == 4


def test_plateaus_of_the_paper_size() -> None:
    found = plateaus(8, 16)
    assert found.chance == 0.125
    assert found.answer_m == pytest.approx(0.25)
    assert found.norm_only == pytest.approx(0.308, abs=0.002)
    assert found == plateaus.__wrapped__(8, 16)  # the same numbers every time


@pytest.mark.parametrize(("objects", "features"), [(4, 4), (8, 16), (5, 2)])
def test_plateaus_are_what_such_solutions_score(objects: int, features: int) -> None:
    task = NthFarthest(objects, features, "nearest")
    inputs, targets = task.batch(40_000, _generator(1))
    vectors, ids, m, n = _taken_apart(inputs, objects)
    others = vectors.square().sum(-1).masked_fill(ids == m, -1.0)  # m before all others
    by_norm = ids.gather(1, others.argsort(1).gather(1, n[:, :1]))[:, 0]
    guess = torch.where(n[:, 0] == 0, m[:, 0], (m[:, 0] + 1) % objects)
    found = plateaus(objects, features)
    assert float((by_norm == targets).double().mean()) == pytest.approx(found.norm_only, abs=0.01)
    assert float((guess == targets).double().mean()) == pytest.approx(found.answer_m, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objects": 1}, "objects must be an integer of at least 2, got 1"),
        ({"objects": 10**6}, "objects must be at most 10,000, got 1000000"),
        ({"features": 10**30}, "features must be at most 1,000,000, got 1000000000000"),
        ({"features": 0}, "features must be an integer of at least 1, got 0"),
        (
            {"order": "furthest"},
            r"order must be one of .*, got 'furthest'; did you mean 'farthest'\?",
        ),
    ],
    ids=["objects", "many objects", "many features", "features", "order"],
)
def test_bad_arguments(arguments, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        NthFarthest(**arguments)


@pytest.mark.parametrize(
    ("present", "message"),
    [(1, "at least 2, got 1"), (5, "at most 4, the objects of the task, got 5")],
)
def test_bad_present(present: int, message: str) -> None:
    task = NthFarthest(4, 4)
    with pytest.raises(InvalidArgumentError, match=message):
        task.present = present


def test_bad_plateaus() -> None:
    with pytest.raises(InvalidArgumentError, match="objects must be"):
        plateaus(1, 4)


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    inputs, targets = NthFarthest().batch(64, torch.Generator("cuda").manual_seed(0), "cuda")
    vectors, ids, m, n = _taken_apart(inputs.cpu(), 8)
    assert torch.equal(label(vectors, ids, m[:, 0], n[:, 0], "farthest"), targets.cpu())


@pytest.mark.parametrize("order", ["farthest", "nearest"])
def test_mixed_samples_show_fewer_objects_after_zeros(order):
    task = NthFarthest(5, 3, order, curriculum="mix")
    inputs, targets, lengths = task.sample(400, np.random.SeedSequence(1))
    assert inputs.shape == (5, 400, task.input_size)
    assert lengths.tolist() == [5] * 400
    present = inputs.abs().sum(dim=-1) > 0  # [T, B]
    assert present.sum(dim=0).unique().tolist() == [2, 3, 4, 5]
    for column, target, here in zip(inputs.unbind(1), targets.tolist(), present.T, strict=True):
        assert here.tolist() == sorted(here.tolist()), "zeros come first"
        shown = column[here]
        ids, m, n = (part.argmax(dim=-1) for part in shown[:, 3:].split(5, dim=-1))
        assert len(set(ids.tolist())) == len(ids)
        reference = shown[ids.tolist().index(int(m[0])), :3]
        distances = (shown[:, :3] - reference).norm(dim=-1)
        ranking = distances.argsort(descending=order == "farthest")
        assert target == int(ids[ranking[n[0]]])


def test_growing_shows_more_when_vectors_are_compared():
    task = NthFarthest(5, 7, curriculum="grow")

    def shown():
        """Objects, features and ids that occur."""
        inputs = task.sample(200, np.random.SeedSequence(1)).inputs
        occurs = [(part != 0).any(1).any(0).sum().item() for part in inputs.split([7, 5, 10], -1)]
        return len(inputs), *occurs[:2]

    guessing = 2 / 3 * np.log(2)
    assert shown() == (3, 4, 3)
    assert not task.update(guessing)
    assert shown() == (3, 4, 3)
    assert task.update(guessing / 2)
    assert shown() == (3, 6, 3)
    assert task.update(guessing / 2)
    assert shown() == (3, 7, 3)
    assert task.update(guessing / 2)
    assert shown() == (4, 7, 4)
    assert not task.update(guessing / 2 + 0.5), "the loss of four objects is greater"
    other = NthFarthest(5, 7, curriculum="grow")
    other.load_state_dict(task.state_dict())
    assert (other.present, other.varied) == (4, 7)
    assert other.update(0.0)
    assert not other.update(0.0), "there are no more than five"
    assert not NthFarthest(5, 7).update(0.0)


def test_knowledge_of_an_example_by_hand() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    ids = torch.tensor([2, 0, 1])
    one_hot = torch.eye(3)
    question = torch.cat([one_hot[0], one_hot[1]]).expand(3, -1)  # m = 0, seen second
    inputs = torch.cat([vectors, one_hot[ids], question], dim=-1)[:, None]
    found = knowledge(inputs, 3)
    assert found.distances.tolist() == [[0, 4, 1]]
    assert found.vectors.tolist() == [[[0, 0], [0, 2], [1, 0]]]
    assert found.known[:, 0].int().tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert found.needed[:, 0].int().tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("curriculum", ["maximum", "mix", "grow"])
def test_knowledge_answers_the_question(curriculum: str) -> None:
    task = NthFarthest(5, 3, "nearest", curriculum=curriculum)
    batch = task.sample(200, np.random.SeedSequence(1))
    found = knowledge(batch.inputs, 5)
    n = batch.inputs[-1, :, -5:].argmax(dim=-1)
    m = batch.inputs[-1, :, -10:-5].argmax(dim=-1)
    own = torch.nn.functional.one_hot(m, 5).bool()
    distances = found.distances.where(found.known[-1], torch.inf).where(~own, -1)
    assert torch.equal(distances.argsort(dim=1).gather(1, n[:, None])[:, 0], batch.targets)
