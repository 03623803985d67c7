import math
import shutil
import sys
from dataclasses import asdict

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from relational_rnn.config import load, save


@pytest.mark.parametrize("split", ["valid", "test"])
def test_every_token_counts_once(rrnn, make_run, text, split):
    make_run()
    answer = rrnn("test", "mine", "--split", split, "--json")
    assert answer.code == 0
    words = (text / f"{split}.txt").read_text(encoding="utf-8")
    assert answer.json["split"] == split
    assert answer.json["tokens"] == len(words.split()) + words.count("\n")
    assert answer.json["perplexity"] == pytest.approx(math.exp(answer.json["loss"]))
    assert answer.json["parameters"] > 0
    assert f"perplexity {answer.json['perplexity']:9,.2f}" in answer.out


def test_batch_and_window_change_nothing(rrnn, make_run):
    make_run()
    options = [[], ["--batch-size", 1], ["--batch_size", 7, "--bptt", 3], ["--bptt", 1000]]
    figures = [rrnn("test", "mine", *some, "--json").json["perplexity"] for some in options]
    assert figures == pytest.approx([figures[0]] * 4, rel=1e-5)


def test_methods_are_reported_apart(rrnn, make_run):
    make_run()
    plain = rrnn("test", "mine", "--json").json
    answer = rrnn(
        "test", "mine", "--cache", "--temperature", "--dynamic", "--segment", 20, "--json"
    )
    found = answer.json
    assert found["loss"] == pytest.approx(plain["loss"], rel=1e-6)
    assert found["tokens"] == plain["tokens"]
    assert set(found["cache"]) == {"loss", "perplexity", "theta", "lambda", "window"}
    assert set(found["temperature"]) == {"loss", "perplexity", "temperature"}
    assert set(found["dynamic"]) == {"loss", "perplexity", "learning_rate", "decay", "segment"}
    assert found["dynamic"]["segment"] == 20
    # The text says the same four lines again and again: the cache has to gain.
    assert found["cache"]["loss"] < plain["loss"]
    assert answer.out.count("tuned on valid") == 3


def test_progress_of_every_method_is_on_stderr(rrnn, make_run, monkeypatch):
    make_run()
    options = ("--temperature", "--cache", "--dynamic", "--segment", 20, "--json")
    silent = rrnn("test", "mine", *options)
    monkeypatch.setattr("relational_rnn.progress.SHOW_AFTER", 0.0)
    monkeypatch.setattr("relational_rnn.progress.LINE_EVERY", 0.0)
    shown = rrnn("test", "mine", *options)
    titles = {line.split(":")[0].split(" (")[0] for line in shown.err.splitlines()}
    assert titles == {
        "evaluating test", "evaluating test, second pass",
        "tuning temperature", "tuning temperature, second pass",
        "temperature", "temperature, second pass",
        "computing hidden states", "computing hidden states, second pass",
        "tuning the neural cache", "neural cache",
        "gradient statistics", "tuning dynamic evaluation", "dynamic evaluation",
    }  # fmt: skip
    assert "evaluating test: 100% · 90 of 90 tokens · 0:00 left" in shown.err
    assert (shown.out, silent.err) == (silent.out, "")


def test_tuning_on_the_text_itself_is_pointed_out(rrnn, make_run):
    make_run()
    assert "optimistic" in rrnn("test", "mine", "--temperature", "--split", "valid").err
    assert rrnn("test", "mine", "--temperature").err == ""


def test_another_text_is_read_in_the_words_of_the_model(rrnn, make_run, text, tmp_path):
    make_run()
    other = tmp_path / "other"
    other.mkdir()
    for split in ("train", "valid", "test"):
        # The same test text; a training text that has none of its words, nor <unk>.
        words = (text / f"{split}.txt").read_text(encoding="utf-8")
        words = "zebra zebra\n" if split == "train" else words
        (other / f"{split}.txt").write_text(words, encoding="utf-8")
    own = rrnn("test", "mine", "--json")
    answer = rrnn("test", "mine", "--data", other, "--json")
    assert answer.json["loss"] == pytest.approx(own.json["loss"], rel=1e-6)
    assert answer.err == ""


def test_words_unknown_to_the_model_are_counted(rrnn, make_run, text, tmp_path):
    make_run()
    other = tmp_path / "other"
    shutil.copytree(text, other)
    for split in ("train", "test"):  # in its own words the text has no unknown one
        with open(other / f"{split}.txt", "a", encoding="utf-8") as file:
            file.write("zebra mat zebra\n")
    answer = rrnn("test", "mine", "--data", other, "--json")
    assert "2 of the " in answer.err
    assert "are unknown to the model and are read as <unk>" in answer.err
    assert answer.err.count("\n") == 1
    assert "perplexity of so many" not in answer.err
    scored = rrnn("score", "mine", other / "test.txt", "--json")
    assert answer.json["loss"] == pytest.approx(scored.json["loss"], rel=1e-6)


def test_a_text_of_mostly_unknown_words_is_no_measure(rrnn, make_run, text, tmp_path):
    make_run()
    other = tmp_path / "other"
    shutil.copytree(text, other)
    for split in ("valid", "test"):
        (other / f"{split}.txt").write_text("zebra mat zebra okapi\n", encoding="utf-8")
    answer = rrnn("test", "mine", "--data", other)
    assert answer.err.endswith("; a perplexity of so many <unk> says little about the words\n")


def test_a_run_of_a_generated_task_gets_accuracies(rrnn, tmp_path):
    trained = rrnn(
        "train", "memorization", "--run", "copying", "--max-steps", 1, "--length", 2,
        "--batch-size", 4, "--test-examples", 20, "--valid-examples", 8, "--head-size", 4,
    )  # fmt: skip
    assert trained.code == 0, trained.err
    answer = rrnn("test", "copying", "--json")
    assert answer.json["examples"] == 20
    assert 0 <= answer.json["accuracy"] <= 1
    kinds = [(row.get("length"), row.get("place")) for row in answer.json["by_difficulty"]]
    assert kinds == [(1, None), (2, None), (None, 0), (None, 1)]
    assert "whole answers" in answer.out
    refused = rrnn("test", "copying", "--cache")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--cache: has no effect on memorization" in refused.err


def test_the_places_of_nth_farthest_are_explained(rrnn):
    trained = rrnn(
        "train", "nth-farthest", "--run", "far", "--max-steps", 1, "--objects", 2,
        "--features", 2, "--batch-size", 4, "--test-examples", 20, "--valid-examples", 8,
        "--head-size", 4, "--order", "nearest",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    answer = rrnn("test", "far")
    assert "by n, the rank of the vector asked for: n = 0 is vector m" in answer.out
    assert "whole answers" not in answer.out  # the same figure


@pytest.fixture
def unreachable_hub(monkeypatch):
    """No network, and nothing in the hub's cache."""

    def offline(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)


def test_a_shipped_model_without_pyarrow_or_network(
    rrnn, text, unreachable_hub, tmp_path, monkeypatch
):
    pytest.importorskip("pyarrow")
    offline = rrnn("test", "wikitext2-rmc")
    assert (offline.code, offline.out) == (2, "")
    note, line = offline.err.splitlines()
    assert note == "wikitext-2: downloading wikitext-2-v1/test-00000-of-00001.parquet"
    assert "connect to the internet once, or pass --data FOLDER" in line

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    without = rrnn("test", "wikitext2-rmc")
    assert (without.code, without.out, without.err.count("\n")) == (2, "", 1)
    assert "run: pip install pyarrow, or pass --data FOLDER" in without.err

    answer = rrnn("test", "wikitext2-rmc", "--data", text, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["tokens"] == 90


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["nobody"], "nobody: no such run", id="run"),
        pytest.param(
            ["mine", "--batch-size", "0"], "--batch-size: must be at least 1, got 0", id="batch"
        ),
        pytest.param(["mine", "--bptt", "-1"], "--bptt: must be at least 1, got -1", id="bptt"),
        pytest.param(["mine", "--segment", "5"], "without --dynamic", id="segment"),
        pytest.param(["mine", "--data", "nowhere"], "nowhere", id="data"),
        pytest.param(["mine", "--split", "train"], "train", id="split"),
        pytest.param(["mine", "--cash"], "did you mean --cache?", id="option"),
    ],
)
def test_mistakes_take_one_line(rrnn, make_run, options, message):
    make_run()
    answer = rrnn("test", *options)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_weights_of_another_model(rrnn, make_run):
    run = make_run()
    config = load(run.config_path)
    save(type(config)(**(asdict(config) | {"num_heads": 1})), run.config_path)
    answer = rrnn("test", "mine")
    assert answer.code == 2
    assert "of another model" in answer.err


def test_weights_cut_short(rrnn, make_run):
    run = make_run()
    run.weights_path.write_bytes(run.weights_path.read_bytes()[:100])
    answer = rrnn("test", "mine")
    assert answer.code == 2
    assert "model.safetensors: broken" in answer.err
