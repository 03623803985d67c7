import sys

import pytest

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling.pydoc import Pydoc, deal, families
from relational_rnn.tasks.language_modeling.tokenization import SPLITS, tokenize

SHARED = "one two three four five six seven eight nine ten"


def test_splits_are_of_the_size_they_should_be():
    counts = {split: sum(map(len, tokenize(Pydoc().text(split)))) for split in SPLITS}
    total = sum(counts.values())
    assert 100_000 < total < 150_000
    assert counts["train"] / total == pytest.approx(0.8, abs=0.03)
    assert counts["valid"] / total == pytest.approx(0.1, abs=0.03)


def test_the_same_every_time():
    assert Pydoc().digest == Pydoc().digest
    assert list(Pydoc().text("test")) == list(Pydoc().text("test"))


def test_every_word_of_valid_and_test_is_known():
    seen = {split: {w for part in tokenize(Pydoc().text(split)) for w in part} for split in SPLITS}
    assert seen["valid"] | seen["test"] <= seen["train"]
    assert "<unk>" in seen["train"]
    assert 2_000 < len(seen["train"]) < 5_000


def test_no_paragraph_is_in_two_splits():
    from pydoc_data.topics import topics

    dealt = deal(topics)
    assert sorted(name for names in dealt.values() for name in names) == sorted(topics)
    paragraphs = {
        split: {
            " ".join(paragraph.split())
            for name in names
            for paragraph in topics[name].split("\n\n")
            if len(paragraph.split()) >= 10
        }
        for split, names in dealt.items()
    }
    assert not paragraphs["train"] & paragraphs["valid"]
    assert not paragraphs["train"] & paragraphs["test"]
    assert not paragraphs["valid"] & paragraphs["test"]


def test_families_join_topics_that_repeat_each_other_also_by_way_of_a_third():
    other = SHARED.replace("one", "1")
    topics = {
        "a": f"title\n\n{SHARED}",
        "b": other,
        "c": f"{SHARED}\n\n{other}",
        "d": "short\n\nowned",
        "e": "short",
    }
    assert sorted(map(sorted, families(topics))) == [["a", "b", "c"], ["d"], ["e"]]


def test_words_and_marks_are_parted(monkeypatch):
    text = 'Is "__iadd__()" better?\n*****\n\n>>> x ::= [1.5]'
    monkeypatch.setattr("pydoc_data.topics.topics", {"a": f"{text}\n{text}"})
    assert next(Pydoc().text("train")).split("\n")[:4] == [
        'Is " __iadd__ () " better ?'.replace("()", "( )"),
        "***",
        "",
        ">>> x :: = [ 1 . 5 ]",
    ]


def test_a_python_without_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(UserError, match=r"this Python lacks pydoc_data, .*; pass --data FOLDER"):
        _ = Pydoc().digest
