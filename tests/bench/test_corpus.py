import json
import re
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from relational_rnn.bench import corpus, report
from relational_rnn.bench.corpus import CorpusCase, CorpusReader
from relational_rnn.bench.worker import WorkerError
from relational_rnn.cli import main
from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import open_corpus


@pytest.mark.parametrize("chunk", [corpus.CHUNK, 1_000, 999], ids=["one", "several", "uneven"])
def test_text_has_the_size_it_is_asked_for(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(corpus, "CHUNK", chunk)
    folder = tmp_path / "text"
    folder.mkdir()
    corpus.write_text(folder, tokens=10_000, vocabulary_size=1_500)
    opened = open_corpus(str(folder), cache_dir=tmp_path / "cache")
    assert opened.summary() == {
        "vocabulary": 1_500,
        "tokens": {"train": 10_000, "valid": 20, "test": 20},
    }


def test_text_is_like_a_text(tmp_path):
    corpus.write_text(tmp_path, tokens=50_000, vocabulary_size=2_000)
    lines = (tmp_path / "train.txt").read_text(encoding="utf-8").splitlines()
    counts = Counter(word for line in lines for word in line.split())
    assert 30 < 50_000 / len(lines) < 100
    assert sum(counts[f"w{rank}"] for rank in range(1, 11)) > 10_000, "few words are frequent"
    assert counts["w1"] > counts["w10"] > counts["w100"] > counts["w1999"] > 0


def test_too_few_words_for_the_vocabulary(tmp_path):
    with pytest.raises(ValueError, match="at least 4,000, got 3,999"):
        corpus.write_text(tmp_path, tokens=3_999, vocabulary_size=2_000)


def test_full_disk_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(corpus.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**8))
    monkeypatch.setattr(corpus, "write_text", lambda *_, **__: pytest.fail("nothing is written"))
    assert main(["bench", "--corpus"]) == 2
    streams = capsys.readouterr()
    assert re.search(r"0\.10 GB are free.*need 1\.50 GB", streams.err)
    assert len(streams.err.splitlines()) == 1
    with pytest.raises(UserError):
        corpus.MEASUREMENT.run()


@pytest.mark.slow
def test_measured(tmp_path):
    told = []
    result = corpus.MEASUREMENT.run(
        tokens=50_000, vocabulary_size=2_000, batch_size=8, bptt=10, progress=told.append
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    prepare, _, whole, middle = result["rows"]
    assert prepare["tokens_per_s"] == pytest.approx(50_200 / prepare["seconds"])
    assert all(row["seconds"] > 0 and row["peak_mb"] >= 0 for row in result["rows"])
    assert whole["windows"] == 625  # 6,250 tokens a stream, one is no target
    assert whole["tokens"] == 8 * 6_249
    assert middle["equal"] is True
    assert middle["windows"] == 313
    assert "error" not in str(result["rows"])
    about = result["corpus"]
    assert about["vocabulary"] == 2_000
    assert about["prepared_bytes"] == 2 * 50_200
    assert about["text_bytes"] > 50_000 * 2
    assert told[0] == "writing 50,000 words"
    paths = report.save(result, tmp_path / "out", "corpus", command="rrnn bench --corpus")
    assert sorted(path.name for path in paths) == ["corpus.json", "corpus.md"]
    written = paths[1].read_text(encoding="utf-8")
    assert "are equal" in written
    assert "| enter in the middle | 313 |" in written


@pytest.fixture
def case(tmp_path):
    folder = tmp_path / "text"
    folder.mkdir()
    corpus.write_text(folder, tokens=5_000, vocabulary_size=200)
    return CorpusCase(folder=str(folder), cache=str(tmp_path / "cache"), batch_size=4, bptt=7)


def test_fingerprint_sees_one_other_id(case):
    whole, jumped, changed = (CorpusReader(case) for _ in range(3))
    expected = whole.from_middle()
    state = expected.pop("state")
    found = jumped.resume(state)
    assert {name: found[name] for name in expected} == expected
    ids = changed.stream.windows.streams
    changed.stream.windows.streams = np.array(ids)
    changed.stream.windows.streams[-3, 2] += 1
    found = changed.resume(state)
    assert found["windows"] == expected["windows"]
    assert found["fingerprint"] != expected["fingerprint"]
    off_by_one = {**state, "done": state["done"] + 1}
    assert jumped.resume(off_by_one)["fingerprint"] != expected["fingerprint"]


class Answering:
    """A worker that answers as it is told."""

    def __init__(self, kind, case):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def call(self, method, *_):
        answers = {
            "prepare": {"seconds": 1.0, "peak_mb": 1.0, "vocabulary": 9, "tokens": {"train": 99}},
            "open": {"seconds": 1.0, "peak_mb": 1.0},
            "one_pass": {"seconds": 1.0, "peak_mb": 1.0, "windows": 8, "tokens": 90, "own_mb": 1.0},
            "from_middle": {"state": {"epoch": 0, "done": 4}, "windows": 4, "fingerprint": "a"},
            "resume": {"seconds": 1.0, "peak_mb": 1.0, "windows": 4, "fingerprint": "b"},
        }
        if method == self.broken:
            raise WorkerError("it broke")
        return answers[method]


@pytest.mark.parametrize("broken", ["prepare", "one_pass", None])
def test_what_fails_is_the_last_row(monkeypatch, broken):
    monkeypatch.setattr(corpus, "Worker", Answering)
    monkeypatch.setattr(Answering, "broken", broken, raising=False)
    result = corpus.MEASUREMENT.run(tokens=2_000, vocabulary_size=100)
    last = {"prepare": "prepare", "one_pass": "one pass", None: "enter in the middle"}[broken]
    assert result["rows"][-1]["row"] == last
    assert [row["row"] for row in result["rows"] if "error" in row] == [last]
    if broken is None:
        assert "windows from 4 on differ from the uninterrupted pass" in result["rows"][-1]["error"]
        assert result["rows"][-1]["equal"] is False
    assert "are equal" not in report.as_markdown(result, "rrnn bench --corpus")


def test_command(monkeypatch, fake_measure, tmp_path, capsys):
    monkeypatch.setattr(corpus, "Worker", Answering)
    monkeypatch.setattr(Answering, "broken", None, raising=False)
    fake_measure("corpus", partial(corpus.measure, tokens=2_000, vocabulary_size=100))
    assert main(["bench", "--corpus", "--output", str(tmp_path), "--json"]) == 1
    assert (tmp_path / "corpus.md").exists()
    assert "corpus" in json.loads(capsys.readouterr().out.splitlines()[-1])
