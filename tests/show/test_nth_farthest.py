"""A question on the page is answered as the run answers its test."""

import pytest
import torch

from relational_rnn.errors import UserError
from relational_rnn.inspection import inspect
from relational_rnn.registry import build_task, load_task_model
from relational_rnn.show.nth_farthest import Answerer, plane
from relational_rnn.tasks.sampling import BatchSource

from .conftest import save_language, save_nth_farthest

ROUNDED = {"rtol": 0, "atol": 1e-4}


def close(got, expected):
    torch.testing.assert_close(torch.tensor(got), torch.as_tensor(expected), **ROUNDED)


@pytest.fixture
def answerer():
    return Answerer(save_nth_farthest("points", features=3))


def of_batch(batch, config):
    """The question of a batch of one, as a user sends it."""
    F, O = config.features, config.objects
    vectors, ids, m, n = batch.inputs[:, 0].split([F, O, O, O], dim=-1)
    return {
        "vectors": vectors.tolist(),
        "ids": ids.argmax(dim=-1).tolist(),
        "m": int(m[0].argmax()),
        "n": int(n[0].argmax()),
    }


def test_the_answer_is_the_one_of_the_test(answerer):
    run = save_nth_farthest("points", features=3)
    source = BatchSource(
        build_task(run.config, training=False), batch_size=1, batches=6, seed=1, stream="test"
    )
    model = load_task_model(run)
    for number in range(6):
        batch = source.batch(number)
        answer = answerer.answer(answerer.question(of_batch(batch, run.config)))
        logits = model(batch.inputs, batch.input_lengths, batch.targets)
        close(answer["probabilities"][-1], logits[0].softmax(dim=-1).detach())
        assert answer["correct"] == int(batch.targets[0])


def test_attention_and_gates_are_those_of_inspection(answerer):
    run = save_nth_farthest("points", features=3)
    task = build_task(run.config, training=False)
    source = BatchSource(task, batch_size=1, batches=1, seed=run.config.seed, stream="test")
    asked = of_batch(source.batch(4), run.config)
    (layer,) = answerer.answer(answerer.question(asked))["layers"]
    seen = inspect(run, example=4)
    close(layer["attention"], seen.attention[:, -1, :, :3])
    close(layer["input_gate"], seen.input_gate)
    close(layer["forget_gate"], seen.forget_gate)


def test_a_moved_point_changes_the_answer_and_the_right_one(answerer):
    asked = {"vectors": [[0, 0, 0], [0.1, 0, 0], [0.5, 0, 0], [1, 0, 0]], "ids": [2, 0, 3, 1]}
    asked |= {"m": 2, "n": 0}  # farthest from the first
    before = answerer.answer(answerer.question(asked))
    assert before["correct"] == 1
    assert before["distances"] == [0.1, 1.0, 0.0, 0.5]
    asked["vectors"][1] = [0, 0.9, 0.9]
    after = answerer.answer(answerer.question(asked))
    assert after["correct"] == 0
    assert after["probabilities"][0] == before["probabilities"][0]  # it has not been read yet
    assert after["probabilities"][-1] != before["probabilities"][-1]


@pytest.mark.parametrize("seed", range(4))
def test_examples_are_questions_of_the_test(answerer, seed):
    example = answerer.example(seed)
    asked = answerer.question(example)
    assert asked.vectors.tolist() == example["vectors"]
    assert example == answerer.example(seed) != answerer.example(seed + 1)
    assert example["order"] == "farthest"


@pytest.mark.parametrize("features", [1, 2, 3, 7])
def test_the_plane_shows_most_of_the_vectors(features):
    vectors = torch.rand(5, features, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, basis, share = plane(vectors)
    places = (vectors - mean) @ basis.T
    if features <= 2:
        assert torch.equal(places[:, :features], vectors)
        assert share == 1
        return
    torch.testing.assert_close(basis @ basis.T, torch.eye(2))
    left = vectors - mean - places @ basis
    total = (vectors - mean).square().sum()
    assert share == pytest.approx(1 - float(left.square().sum() / total), abs=1e-4)
    random = torch.linalg.qr(torch.randn(features, 2)).Q
    assert float(((vectors - mean) @ random).square().sum() / total) <= share + 1e-4


def test_equal_vectors_have_a_plane():
    assert plane(torch.ones(3, 4))[2] == 0


GOOD = {"vectors": [[0.0] * 3] * 4, "ids": [0, 1, 2, 3], "m": 0, "n": 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"vectors": [[0.0] * 3] * 3}, "vectors: must be 4 lists", id="few vectors"),
        pytest.param({"vectors": [[0.0] * 2] * 4}, "vectors: must be 4 lists", id="few features"),
        pytest.param({"vectors": [[2.0] * 3] * 4}, "from -1 to 1", id="large"),
        pytest.param({"vectors": [[float("nan")] * 3] * 4}, "from -1 to 1", id="nan"),
        pytest.param({"vectors": [[1], [1, 2]]}, "vectors: ", id="ragged"),
        pytest.param({"vectors": "abc"}, "vectors: ", id="text"),
        pytest.param({"ids": [0, 1, 2, 2]}, "ids: must be the integers", id="twice"),
        pytest.param({"ids": [0, 1, 2, 4]}, "ids: must be the integers", id="unknown id"),
        pytest.param({"m": 4}, "m: must be an integer from 0 to 3", id="m"),
        pytest.param({"m": True}, "m: must be an integer", id="bool"),
        pytest.param({"n": [1]}, "n: must be an integer", id="list"),
        pytest.param({"n": 10**30}, "vectors: ", id="huge"),
    ],
)
def test_questions_are_checked(answerer, change, said):
    answerer.question(GOOD)
    with pytest.raises(UserError, match=said):
        answerer.question(GOOD | change)


def test_a_core_without_slots_answers():
    answerer = Answerer(save_nth_farthest("lstm", model="lstm", hidden_size=8, features=3))
    answer = answerer.answer(answerer.question(GOOD))
    assert answer["layers"] == []
    assert len(answer["probabilities"]) == 4


def test_runs_that_cannot_be_drawn():
    with pytest.raises(UserError, match="must be nth-farthest, got language-modeling"):
        Answerer(save_language("text"))
    with pytest.raises(UserError, match=r"at most 24 objects .* got 25 of 2"):
        Answerer(save_nth_farthest("many", objects=25))
