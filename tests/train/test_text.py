"""What a training run computes: parts of a batch, averages, resets, validation."""

import csv
import math
from itertools import islice

import numpy as np
import pytest
import torch

from relational_rnn.config import LanguageModelingConfig, load
from relational_rnn.evaluate.perplexity import perplexity
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.ops.precision import multiplies_bfloat16
from relational_rnn.registry import load_language_model
from relational_rnn.runs import Run
from relational_rnn.tasks.language_modeling import open_corpus
from relational_rnn.tasks.language_modeling.batching import Windows, streams
from relational_rnn.train.reasoning import ReasoningTraining
from relational_rnn.train.text import TextTraining, TrainingStream

SMALL = (
    *("--embedding-size", 8, "--head-size", 4, "--num-heads", 2),
    *("--batch-size", 4, "--bptt", 10, "--learning-rate", 0.01),
)


@pytest.fixture
def start(text):
    return ("train", "language-modeling", "--data", text, *SMALL)


def rows(run):
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def state(run):
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_losses_are_those_of_a_plain_loop(rrnn, start, text, environment, tmp_path):
    """Epochs, windows, memory carried, clipping, Adam: against fifteen lines of torch."""
    options = ("--max-steps", 80, "--log-every", 1, "--clip", 0.1, "--optimizer", "adam")
    assert rrnn(*start, *options, "--run", "run").code == 0
    logged = rows(tmp_path / "runs" / "run")
    torch.manual_seed(1)
    config = load(tmp_path / "runs" / "run" / "config.yaml")
    corpus = open_corpus(str(text), cache_dir=environment["RRNN_CACHE"])
    model = LanguageModel(config, len(corpus.vocabulary))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    windows = Windows(streams(corpus.tokens["train"], 4), bptt=10)
    assert len(windows) == 68
    losses = []
    for _ in range(2):
        memory = model.initial_state(4)
        for inputs, targets in windows:
            loss, memory = model.loss(inputs, targets, memory)
            memory = tuple(tensor.detach() for tensor in memory)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            losses.append(loss.item())
    for row, loss in zip(logged, losses, strict=False):
        assert float(row["train_loss"]) == pytest.approx(loss, rel=1e-4)
        assert float(row["train_perplexity"]) == pytest.approx(math.exp(loss), rel=1e-3)
    assert [int(row["tokens"]) for row in logged[:2]] == [40, 80]
    assert [row["epoch"] for row in logged[66:69]] == ["0", "1", "1"]
    assert [row["step"] for row in logged if row["valid_loss"]] == ["68", "80"]


def test_parts_of_a_batch_make_up_its_step(rrnn, start, tmp_path):
    options = ("--max-steps", 12, "--log-every", 1)
    assert rrnn(*start, *options, "--run", "whole").code == 0
    assert rrnn(*start, *options, "--micro-batch-size", 1, "--run", "parts").code == 0
    whole, parts = (rows(tmp_path / "runs" / name) for name in ("whole", "parts"))
    assert len(whole) == len(parts) == 12
    for one, other in zip(whole, parts, strict=True):
        assert float(other["train_loss"]) == pytest.approx(float(one["train_loss"]), rel=1e-4)
        assert other["tokens"] == one["tokens"]


@pytest.mark.parametrize("model", ["rmc", "lstm"])
def test_low_precision(rrnn, start, tmp_path, model):
    options = ("--max-steps", 12, "--log-every", 1, "--model", model, "--run")
    assert rrnn(*start, *options, "full").code == 0
    assert rrnn(*start, *options, "low", "--precision", "bf16-mixed").code == 0
    full, low = (rows(tmp_path / "runs" / name)[-1] for name in ("full", "low"))
    assert (low["train_loss"] != full["train_loss"]) is multiplies_bfloat16("cpu")
    assert float(low["train_loss"]) == pytest.approx(float(full["train_loss"]), rel=0.01)


@pytest.mark.parametrize("kind", ["ema", "nt-asgd"])
def test_averaged_weights(rrnn, start, tmp_path, kind):
    options = ("--validate-every", 1, "--averaging", kind, "--ema-decay", 0.75, "--nonmono", 1)
    options += ("--optimizer", "sgd", "--learning-rate", 30)  # it gets worse soon
    name = "model.embedding.weight"
    weights = []
    for steps in range(1, 9):
        run = f"run{steps}"
        assert rrnn(*start, *options, "--max-steps", steps, "--run", run).code == 0
        weights.append(state(tmp_path / "runs" / run)[name])
    last = state(tmp_path / "runs" / "run8")
    averaged, count = last[f"averaged.module.{name[6:]}"], int(last["averaged.n_averaged"])
    if kind == "ema":
        expected = weights[0]
        for value in weights[1:]:
            expected = 0.75 * expected + 0.25 * value
        assert count == 8
    else:
        assert 2 <= count <= 6
        expected = torch.stack(weights[-count:]).mean(0)
    torch.testing.assert_close(averaged, expected)


def test_validation_is_that_of_the_streams(rrnn, start, text, environment, tmp_path):
    assert rrnn(*start, "--max-steps", 3, "--run", "run", "--eval-batch-size", 3).code == 0
    run = Run(tmp_path / "runs" / "run")
    model = load_language_model(run)
    corpus = open_corpus(str(text), cache_dir=environment["RRNN_CACHE"])
    ids = torch.from_numpy(streams(corpus.tokens["valid"], 3).astype("int64"))
    with torch.no_grad():
        loss, _ = model.loss(ids[:-1], ids[1:], model.initial_state(3))
    assert float(rows(run.folder)[-1]["valid_loss"]) == pytest.approx(loss.item(), rel=1e-6)


def test_summary(rrnn, start, tmp_path):
    ended = rrnn(*start, "--max-steps", 3, "--run", "run", "--json")
    summary = Run(tmp_path / "runs" / "run").summary
    assert ended.json == {
        key: summary[key] for key in ("run", "parameters", "steps", "valid", "test")
    }
    assert summary["config"] == "language-modeling"
    assert (summary["steps"], summary["seed"], summary["tokens"]) == (3, 1, 120)
    assert summary["parameters"] == sum(
        value.numel() for value in load_language_model(Run(tmp_path / "runs" / "run")).parameters()
    )
    for split in ("valid", "test"):
        scores = summary[split]
        assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
    assert {"torch", "lightning", "python", "relational-rnn"} <= summary["versions"].keys()
    assert {"processor", "threads", "device"} <= summary["machine"].keys()
    names = {path.name for path in (tmp_path / "runs" / "run").iterdir()}
    assert {"config.yaml", "metrics.csv", "model.safetensors", "vocabulary.json"} <= names
    assert [name for name in names if name.startswith("events.out.tfevents")]


def test_early_stop(rrnn, start, tmp_path):
    options = ("--validate-every", 2, "--patience", 2, "--learning-rate", 30, "--optimizer", "sgd")
    ended = rrnn(*start, *options, "--max-steps", 60, "--run", "run", "--json")
    assert ended.json["steps"] < 60
    losses = [float(row["valid_loss"]) for row in rows(tmp_path / "runs" / "run")]
    assert min(losses) == losses[-3] < min(losses[-2:])
    again = rrnn("train", "--resume", "run", "--json")
    assert again.json == ended.json
    assert " parameters · no steps left on cpu\n" in again.stdout


def test_memories_are_reset_at_random():
    config = LanguageModelingConfig(embedding_size=8, head_size=4, reset_probability=0.25)
    model = LanguageModel(config, 20)
    module = TextTraining(config, model, None, None, {})
    torch.manual_seed(0)
    fresh = model.initial_state(2000)
    state = tuple(torch.rand_like(tensor) for tensor in fresh)
    (after,) = module._reset_some(state)
    reset = (after == fresh[0]).flatten(1).all(1)
    assert torch.equal(after[~reset], state[0][~reset])
    assert reset.float().mean().item() == pytest.approx(0.25, abs=0.04)


def test_the_rate_goes_by_the_length_of_a_random_window(rrnn, start, text, environment, tmp_path):
    options = ("--random-bptt", "--max-steps", 30, "--log-every", 1)
    assert rrnn(*start, *options, "--run", "run").code == 0
    corpus = open_corpus(str(text), cache_dir=environment["RRNN_CACHE"])
    windows = Windows(streams(corpus.tokens["train"], 4), bptt=10, random_bptt=True, seed=1)
    lengths = [len(inputs) for inputs, _ in windows][:30]
    assert len(set(lengths)) > 3
    rates = [float(row["learning_rate"]) for row in rows(tmp_path / "runs" / "run")]
    assert rates == pytest.approx([0.01 * length / 10 for length in lengths])


def endless(parts=1, **options):
    ids = streams(np.arange(4 * 23, dtype=np.uint16), 4)
    return TrainingStream(Windows(ids, bptt=5, **options), parts)


def test_epochs_follow_each_other():
    batches = list(islice(iter(endless()), 12))  # 22 targets a stream: 5 windows an epoch
    assert [batch.epoch for batch in batches] == [0] * 5 + [1] * 5 + [2] * 2
    assert [batch.first for batch in batches] == ([True] + [False] * 4) * 2 + [True, False]
    assert [batch.last for batch in batches] == ([False] * 4 + [True]) * 2 + [False, False]
    assert [batch.amount for batch in batches[:5]] == [5, 5, 5, 5, 2]
    assert torch.equal(batches[0].inputs, batches[5].inputs)


def test_parts_make_up_the_window():
    whole = next(iter(endless()))
    parts = list(islice(iter(endless(parts=2)), 2))
    assert [part.part for part in parts] == [0, 1]
    assert torch.equal(torch.cat([part.inputs for part in parts], dim=1), whole.inputs)
    assert torch.equal(torch.cat([part.targets for part in parts], dim=1), whole.targets)


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 6, 13])
@pytest.mark.parametrize("parts", [1, 2])
def test_goes_on_from_a_saved_position(steps, parts):
    options = {"random_bptt": True, "random_offset": True, "seed": 3}
    one = endless(parts, **options)
    batches = iter(one)
    list(islice(batches, steps * parts))
    other = endless(parts, **options)
    other.load_state_dict(one.state_dict())
    for batch, same in zip(islice(batches, 14), iter(other), strict=False):
        assert batch[2:] == same[2:]
        assert torch.equal(batch.inputs, same.inputs)
        assert torch.equal(batch.targets, same.targets)


def test_perplexity_for_display():
    assert TextTraining.describe({"loss": math.log(1234.5)}) == "perplexity 1,234.50"
    assert TextTraining.describe({"loss": math.nan}) == "perplexity …"
    assert ReasoningTraining.describe({"loss": math.nan}) == "loss …"
    ended = {"loss": 0.5, "accuracy": 1}
    assert ReasoningTraining.describe(ended) == "loss 0.5000 accuracy 100.00%"
    assert perplexity(1000.0) == math.inf


@pytest.mark.parametrize("core", ["rmc", "lstm"])
def test_with_reset_every_command_reads_each_line_by_itself(rrnn, start, text, tmp_path, core):
    options = ("--reset", "eos", "--model", core, "--max-steps", 60, "--run", "run", "--json")
    ended = rrnn(*start, *options)
    assert ended.code == 0, ended.stderr
    lines = (text / "test.txt").read_text(encoding="utf-8").splitlines()[:3]
    losses = []
    for number, content in enumerate(["\n".join(lines), *lines]):
        (tmp_path / f"{number}.txt").write_text(content + "\n", encoding="utf-8")
        losses.append(rrnn("score", "run", f"{number}.txt", "--json").json["loss"])
    assert losses[0] == pytest.approx(sum(losses[1:]) / 3, rel=1e-4)  # all lines are as long
    tested = rrnn("test", "run", "--batch-size", 3, "--bptt", 4, "--json").json
    assert tested["loss"] == pytest.approx(ended.json["test"]["loss"], rel=1e-5)
    config = load(tmp_path / "runs" / "run" / "config.yaml")
    assert config.reset == "eos"
    again = rrnn("train", "--resume", "run", "--reset", "null")
    assert "reset: cannot be changed when a run is resumed" in again.stderr


def test_a_short_training_is_noted(rrnn, start):
    said = rrnn(*start, "--epochs", 1).stderr
    steps = " steps are few to learn from; with a smaller batch_size than 4 the same text gives"
    assert said.startswith("note: ")
    assert steps in said
    assert int(said.split()[1]) < 100
    assert rrnn(*start, "--max-steps", 3).stderr == ""
