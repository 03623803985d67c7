import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import Vocabulary

WORDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1), min_size=1
)


def test_by_falling_frequency_and_ties_by_first_appearance():
    text = [["b", "a", "<eos>"], ["c", "a", "<eos>"], ["d", "<eos>"]]
    assert Vocabulary.of(text).words == ["<eos>", "a", "b", "c", "d"]


@given(WORDS)
def test_decode_undoes_encode(words):
    vocabulary = Vocabulary.of([words, ["<eos>"]])
    ids = vocabulary.encode(words, where="test")
    assert ids.dtype == np.int64
    assert ids.shape == (len(words),)
    assert vocabulary.decode(ids) == words


@given(WORDS)
def test_ids_rise_as_frequency_falls(words):
    vocabulary = Vocabulary.of([words, ["<eos>"]])
    counts = np.bincount(vocabulary.encode([*words, "<eos>"], where="test"))
    assert (np.diff(counts) <= 0).all()


def test_a_word_never_seen_is_unknown():
    vocabulary = Vocabulary(["<eos>", "a", "<unk>"])
    assert vocabulary.encode(["a", "z", "<eos>"], where="test").tolist() == [1, 2, 0]
    vocabulary.check([["z"]], where="test")


def test_without_unk_the_words_are_named_and_counted():
    vocabulary = Vocabulary(["<eos>", "a"])
    message = r"^the prompt: 3 tokens \(2 distinct words\) are not in the vocabulary, .*: 'z', 'y';"
    with pytest.raises(UserError, match=message):
        vocabulary.encode(["z", "a", "y", "z"], where="the prompt")
    with pytest.raises(UserError, match=message):
        vocabulary.check([["z"], ["a", "y", "z"]], where="the prompt")
    many = [f"w{number}" for number in range(9)]
    with pytest.raises(UserError, match="'w4', …; use"):
        vocabulary.encode(many, where="test")


@pytest.mark.parametrize(
    ("words", "message"),
    [(["<eos>", "a", "a"], "distinct"), (["a"], "<eos>")],
    ids=["twice", "no eos"],
)
def test_bad_words_raise(words, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(words)


def test_save_and_load(tmp_path):
    vocabulary = Vocabulary(["<eos>", '"', "é", "\\", "雪"])
    vocabulary.save(tmp_path / "vocabulary.json")
    loaded = Vocabulary.load(tmp_path / "vocabulary.json")
    assert loaded.words == vocabulary.words
    assert loaded.digest == vocabulary.digest
    assert json.loads((tmp_path / "vocabulary.json").read_text(encoding="utf-8"))[2] == "é"
    assert [path.name for path in tmp_path.iterdir()] == ["vocabulary.json"]


def test_the_digest_is_that_of_the_order():
    assert Vocabulary(["<eos>", "a"]).digest != Vocabulary(["a", "<eos>"]).digest


@pytest.mark.parametrize(
    "content",
    [
        b'["<eos>", "a"',
        b'{"<eos>": 0}',
        b'["<eos>", 1]',
        b'["a"]',
        b"\xff",
        b'["<eos>", "\\ud800"]',
        b"[" * 100_000 + b"]" * 100_000,
        b'["<eos>", "a b"]',
        b'["<eos>", ""]',
        b'["<eos>", "a\\n"]',
        b'["<eos>", "' + b"9" * 5_000 + b'", ' + b"9" * 5_000 + b"]",
    ],
    ids=[
        "cut off",
        "no list",
        "no words",
        "no eos",
        "no UTF-8",
        "lone surrogate",
        "nested deep",
        "two words in one",
        "empty word",
        "line end in a word",
        "a number too long",
    ],
)
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"vocabulary\.json: is not a vocabulary") as caught:
        Vocabulary.load(path)
    assert str(caught.value).isprintable()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no\.json: cannot be read: No such file"):
        Vocabulary.load(tmp_path / "no.json")
