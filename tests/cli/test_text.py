"""generate and score: from text to text."""

import math
import os
import subprocess
import sys

import pytest
import torch

from relational_rnn.config import NthFarthestConfig
from relational_rnn.generate import Drawn
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.registry import load_language_model
from relational_rnn.runs import Run


def test_generate(rrnn, make_run):
    make_run()
    answer = rrnn(
        "generate", "mine", "--words", 12, "--prompt", "the  cat", "--seed", 3, "--top-k", 5,
        "--top-p", 0.9, "--temperature", 0.8, "--json",
    )  # fmt: skip
    assert answer.code == 0
    assert answer.out.startswith("the  cat ")
    text = answer.json["text"]
    assert len(text.replace("\n", " <eos> ").split()) == 12
    assert answer.out.splitlines()[:-1] == f"the  cat {text}\n".splitlines()
    again = rrnn("generate", "mine", "--words", 12, "--prompt", "the  cat", "--seed", 3)
    assert again.out.startswith("the  cat ")


def test_generate_without_a_prompt(rrnn, make_run):
    make_run()
    first, again, other = (
        rrnn("generate", "mine", "--words", 30, "--seed", seed).out for seed in (1, 1, 2)
    )
    assert first == again != other
    assert not first.startswith(" ")


def test_the_first_word_is_drawn_before_anything_is_printed(rrnn, make_run, monkeypatch, capsys):
    """The first step may compile the core and say so: not in the middle of a line."""
    make_run()
    printed = []

    def draw(*arguments, **options):
        printed.append(capsys.readouterr().out)
        yield Drawn("cat", 1.0, [])

    monkeypatch.setattr("relational_rnn.generate.generate", draw)
    assert rrnn("generate", "mine", "--prompt", "the").out == "the cat\n"
    assert printed == [""]


def test_a_prompt_is_read_as_in_training(rrnn, make_run):
    make_run()
    answer = rrnn("generate", "mine", "--words", 1, "--top-k", 1, "--prompt", "the zebra sat\n")
    assert answer.err == (
        "note: the prompt: words not in the vocabulary are read as <unk>: 'zebra'\n"
    )
    line, word, *_ = answer.out.split("\n")
    assert line == "the zebra sat"
    shown = rrnn("inspect", "mine", "--prompt", "the zebra sat\n", "--json")
    assert shown.err == answer.err
    assert shown.json["title"] == f"mine: the likeliest next word is “{word or '<eos>'}”"
    assert rrnn("inspect", "mine").err == ""


def test_generate_without_unk(rrnn, make_run, text):
    make_run()
    words = ("generate", "mine", "--words", 300, "--seed", 1)
    assert "<unk>" in rrnn(*words).out
    answer = rrnn(*words, "--no-unk")
    assert "<unk>" not in answer.out
    assert answer.err == ""


def test_no_unk_without_unk(rrnn, make_run, text):
    for split in ("train", "valid", "test"):
        path = text / f"{split}.txt"
        path.write_text(path.read_text(encoding="utf-8").replace("<unk>", "bit"), encoding="utf-8")
    make_run()
    answer = rrnn("generate", "mine", "--words", 3, "--no-unk")
    assert answer.err == "note: --no-unk has no effect: the vocabulary has no <unk>\n"
    assert answer.code == 0


@pytest.mark.parametrize("verb", ["generate", "inspect"])
def test_a_prompt_that_is_not_utf8(rrnn, make_run, verb):
    make_run()
    answer = rrnn(verb, "mine", "--prompt", "the \udcff")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "UTF-8" in answer.err


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("limit", [0, 12_000], ids=["at once", "in a block"])
def test_score_to_a_file_that_becomes_too_large(make_run, tmp_path, limit):
    import resource

    make_run()
    (tmp_path / "words.txt").write_text("the cat sat on the mat\n" * 150, encoding="utf-8")
    with open(tmp_path / "out.txt", "wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "relational_rnn", "score", "mine", "words.txt"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
    assert (done.returncode, done.stderr) == (2, "error: the output: File too large\n")


def test_score_of_a_file_whose_name_is_not_utf8(rrnn, make_run, tmp_path):
    make_run()
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        (tmp_path / name).write_text("the zebra", encoding="utf-8")
    except OSError:
        pytest.skip("this file system allows no such name")
    for given in (name, name + "x"):
        answer = rrnn("score", "mine", given)
        assert answer.code == 0 or (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("option", "value"),
    [("words", "0"), ("temperature", "0"), ("top-k", "-1"), ("top-p", "2")],
)
def test_generate_out_of_range(rrnn, make_run, option, value):
    make_run()
    answer = rrnn("generate", "mine", f"--{option}", value)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert option.replace("-", "_") in answer.err


def test_score(rrnn, make_run, tmp_path):
    make_run()
    file = tmp_path / "line.txt"
    file.write_text("the zebra sat\non the mat", encoding="utf-8")
    answer = rrnn("score", "mine", file, "--json")
    assert answer.code == 0
    found = answer.json
    assert [row["word"] for row in found["words"]] == [
        "the", "zebra", "sat", "<eos>", "on", "the", "mat", "<eos>",
    ]  # fmt: skip
    mean = sum(row["loss"] for row in found["words"]) / 8
    assert found["loss"] == pytest.approx(mean)
    assert found["perplexity"] == pytest.approx(math.exp(mean))
    assert (found["tokens"], found["unknown"]) == (8, 1)
    assert "zebra  (unknown" in answer.out
    assert f"{found['words'][2]['loss']:6.2f}  sat\n" in answer.out


def test_score_shows_progress_on_stderr(rrnn, make_run, text, monkeypatch):
    make_run()
    silent = rrnn("score", "mine", text / "test.txt", "--json")
    assert silent.err == ""
    monkeypatch.setattr("relational_rnn.progress.SHOW_AFTER", 0.0)
    shown = rrnn("score", "mine", text / "test.txt", "--json")
    assert shown.err.splitlines()[0].startswith("evaluating: ")
    assert shown.out == silent.out


def test_score_of_the_test_text_is_its_perplexity(rrnn, make_run, text):
    make_run()
    scored = rrnn("score", "mine", text / "test.txt", "--json").json
    tested = rrnn("test", "mine", "--json").json
    assert scored["loss"] == pytest.approx(tested["loss"], rel=1e-6)
    assert scored["tokens"] == tested["tokens"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read: No such file", id="missing"),
        pytest.param(b"", "holds no words; it must hold at least one", id="empty"),
        pytest.param(b" \n\n", "holds no words; it must hold at least one", id="blank"),
        pytest.param(b"a\ncaf\xe9", "is not UTF-8: byte 0xe9 at offset 5 (line 2)", id="latin-1"),
        pytest.param("the cat".encode("utf-16-le"), "is not text: byte 0x00 at offset 1", id="nul"),
    ],
)
def test_score_of_bad_files(rrnn, make_run, tmp_path, content, message):
    make_run()
    if content is not None:
        (tmp_path / "file.txt").write_bytes(content)
    answer = rrnn("score", "mine", "file.txt")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert message in answer.err


def test_what_is_not_for_this_kind_of_run(rrnn, make_run, tmp_path):
    make_run()
    Run(tmp_path / "runs" / "far").save_config(NthFarthestConfig())
    (tmp_path / "file.txt").write_text("the cat", encoding="utf-8")
    for words, said in (
        (("score", "far", "file.txt"), "its task is nth-farthest, not language-modeling"),
        (("inspect", "mine", "--example", 3), "is a language model; give --prompt instead"),
    ):
        answer = rrnn(*words)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert said in answer.err


def test_unknown_words_without_unk(rrnn, make_run, text, tmp_path):
    for split in ("train", "valid", "test"):
        path = text / f"{split}.txt"
        path.write_text(path.read_text(encoding="utf-8").replace("<unk>", "bit"), encoding="utf-8")
    make_run()
    (tmp_path / "file.txt").write_text("the zebra sat on the gnu zebra", encoding="utf-8")
    for answer in (
        rrnn("score", "mine", "file.txt"),
        rrnn("generate", "mine", "--prompt", "the zebra gnu zebra"),
    ):
        assert answer.code == 2
        assert "3 tokens (2 distinct words) are not in the vocabulary" in answer.err
        assert "'zebra', 'gnu'" in answer.err


def test_a_run_cut_off_before_its_first_validation(rrnn, make_run):
    run = make_run()
    expected = rrnn("test", "mine", "--json").json
    model = LanguageModel(run.config, len(run.vocabulary))
    trained = load_language_model(run)
    model.load_state_dict(trained.state_dict())
    saved = {f"model.{name}": value for name, value in model.state_dict().items()}
    run.weights_path.unlink()
    missing = rrnn("generate", "mine")
    assert missing.code == 2
    assert "no trained model yet; resume it with: rrnn train --resume mine" in missing.err
    torch.save({"state_dict": saved}, run.last_path)
    assert rrnn("test", "mine", "--json").json == expected
    run.last_path.write_bytes(run.last_path.read_bytes()[:200])
    broken = rrnn("generate", "mine")
    assert (broken.code, broken.err.count("\n")) == (2, 1)
    assert "last.ckpt: truncated" in broken.err


def test_averaged_weights_of_a_run_that_was_cut_off(rrnn, make_run):
    run = make_run()
    expected = rrnn("test", "mine", "--json").json
    weights = load_language_model(run).state_dict()
    saved = {f"averaged.module.{name}": value for name, value in weights.items()}
    saved |= {f"model.{name}": torch.zeros_like(value) for name, value in weights.items()}
    torch.save({"state_dict": saved | {"averaged.n_averaged": torch.tensor(3)}}, run.last_path)
    run.weights_path.unlink()
    assert rrnn("test", "mine", "--json").json == expected
