import json
from pathlib import Path

import numpy as np
import pytest

from relational_rnn.tasks.programs import Curriculum

TRACE = Path(__file__).parents[1] / "goldens" / "lte" / "curriculum_trace.json"


def _levels(curriculum: Curriculum) -> set[tuple[int, int]]:
    lengths, nestings = curriculum.levels(400, np.random.default_rng(0))
    return set(zip(lengths.tolist(), nestings.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["naive", "combined"])
def test_golden_trace(kind: str) -> None:
    golden = json.loads(TRACE.read_text(encoding="utf-8"))
    curriculum = Curriculum(
        kind,
        golden["max_length"],
        golden["max_nesting"],
        threshold=golden["loss_threshold"],
        min_tries=golden["min_tries"],
    )
    for loss, raised, length, nesting in golden["trace"]:
        assert curriculum.update(loss) == raised
        assert (curriculum.length, curriculum.nesting) == (length, nesting)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("maximum", {(3, 2)}, {(3, 2)}),
        ("mix", {(a, b) for a in (1, 2, 3) for b in (1, 2)}, None),
        ("naive", {(1, 1)}, {(2, 1)}),
        ("combined", {(1, 1)}, {(1, 1), (2, 1)}),
    ],
)
def test_levels(kind: str, before: set[tuple[int, int]], after: set[tuple[int, int]]) -> None:
    curriculum = Curriculum(kind, 3, 2, min_tries=2)
    assert _levels(curriculum) == before
    raised = [curriculum.update(loss) for loss in (1.0, 0.9)]
    assert raised == [False, kind in ("naive", "combined")]
    assert _levels(curriculum) == (before if after is None else after)


def test_a_rising_loss_holds_the_level() -> None:
    curriculum = Curriculum("naive", 3, 2, min_tries=3)
    assert not any(curriculum.update(loss) for loss in (1.0, 1.2, 1.4, 1.6, 1.8, 2.0))
    assert (curriculum.length, curriculum.nesting) == (1, 1)


def test_a_loss_of_zero_raises_the_level() -> None:
    curriculum = Curriculum("naive", 3, 2, min_tries=1)
    assert curriculum.update(0.0)


def test_state_can_be_carried_on() -> None:
    losses = [float(x) for x in np.random.default_rng(0).uniform(0.5, 1.5, 60)]
    straight = Curriculum("combined", 4, 3, min_tries=4)
    expected = [straight.update(loss) for loss in losses]
    assert any(expected)

    for cut in (1, 7, 30):
        first = Curriculum("combined", 4, 3, min_tries=4)
        seen = [first.update(loss) for loss in losses[:cut]]
        state = json.loads(json.dumps(first.state_dict()))
        first.update(0.1)  # a state taken is not changed afterwards
        second = Curriculum("combined", 4, 3, min_tries=4)
        second.load_state_dict(state)
        assert seen + [second.update(loss) for loss in losses[cut:]] == expected
        assert second.state_dict() == straight.state_dict()


def test_growing_goes_on_when_a_length_is_half_learnt() -> None:
    curriculum = Curriculum("grow", 2, 2)
    assert _levels(curriculum) == {(1, 1), (1, 2)}
    assert not any(curriculum.update(loss) for loss in (2.0, 1.0, 0.51))
    assert curriculum.update(0.49)
    assert _levels(curriculum) == {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert not curriculum.update(0.0), "there is nothing harder"
    other = Curriculum("grow", 2, 2)
    other.load_state_dict(curriculum.state_dict())
    assert _levels(other) == _levels(curriculum)


def test_frontier_draws_most_samples_at_the_current_length() -> None:
    curriculum = Curriculum("frontier", 3, 2)
    generator = np.random.default_rng(1)
    assert set(curriculum.levels(100, generator)[0]) == {1}
    assert not curriculum.update(0.21)
    assert curriculum.update(0.19)
    assert curriculum.update(0.19)
    assert not curriculum.update(0.19)  # the maximum
    lengths, nestings = curriculum.levels(10_000, generator)
    shares = [float(np.mean(lengths == length)) for length in (1, 2, 3)]
    assert shares == pytest.approx([0.1, 0.1, 0.8], abs=0.02)
    assert float(np.mean(nestings == 2)) == pytest.approx(0.5, abs=0.02)


def test_frontier_lengthens_literals_before_loops_run_more_than_once() -> None:
    curriculum = Curriculum("frontier", 2, 1, loops=True)
    generator = np.random.default_rng(1)
    shape = 5_000, 2
    assert set(curriculum.counts(shape, generator).flat) == {1}
    assert curriculum.update(0.19)
    assert (curriculum.length, curriculum.count) == (2, 1)
    assert curriculum.update(0.19)
    counts = curriculum.counts(shape, generator)
    shares = [float(np.mean(counts == count)) for count in (1, 2)]
    assert shares == pytest.approx([1 / 4, 3 / 4], abs=0.03)  # the newest: 1/2 + 1/2 x 1/2
    other = Curriculum("frontier", 2, 1, loops=True)
    other.load_state_dict(json.loads(json.dumps(curriculum.state_dict())))
    assert other.count == 2
    assert [curriculum.update(0.19) for _ in range(3)] == [True, True, False]
    assert curriculum.count == 9
    every = np.bincount(curriculum.counts(shape, generator).flat) / 10_000
    assert every == pytest.approx([0, *[1 / 9] * 9], abs=0.02)


def test_a_state_of_an_earlier_version_has_all_counts() -> None:
    curriculum = Curriculum("frontier", 2, 1, loops=True)
    state = curriculum.state_dict()
    del state["count"]
    curriculum.load_state_dict(state)
    assert curriculum.count == 9


@pytest.mark.parametrize("kind", ["maximum", "mix", "combined", "grow"])
def test_loops_of_other_curricula_run_up_to_9_times(kind: str) -> None:
    curriculum = Curriculum(kind, 2, 1, loops=True)
    counts = curriculum.counts((5_000, 2), np.random.default_rng(1))
    assert np.bincount(counts.flat) / 10_000 == pytest.approx([0, *[1 / 9] * 9], abs=0.02)
