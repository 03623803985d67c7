import pytest
from hypothesis import given
from hypothesis import strategies as st

from relational_rnn.tasks.language_modeling.tokenization import WHITESPACE, tokenize


def flat(pieces):
    return [word for part in tokenize(pieces) for word in part]


def test_every_line_ends_with_eos_blank_ones_too():
    assert flat([" = Title = \n \n\na b"]) == [
        *("=", "Title", "=", "<eos>"),
        "<eos>",
        "<eos>",
        *("a", "b", "<eos>"),
    ]


def test_no_text_no_words():
    assert flat([]) == []
    assert flat([""]) == []


@pytest.mark.parametrize("between", [" ", "\t", "\r", "\x0b", "\x1c", "\x85", "\u3000"], ids=ascii)
def test_one_long_line_is_held_in_pieces(between):
    parts = list(tokenize(f"word{between}" * 100 + "wo" for _ in range(50)))
    assert max(map(len, parts)) <= 101
    assert sum(map(len, parts)) == 50 * 100 + 2
    assert parts[1][0] == "woword"


def test_one_long_word():
    assert list(tokenize(["ab"] * 1000)) == [["ab" * 1000, "<eos>"]]


@given(st.lists(st.text(st.sampled_from("ab \n\t\x1f\u3000\x85é"), max_size=8)))
def test_pieces_may_be_cut_anywhere(pieces):
    text = "".join(pieces)
    lines = text.removesuffix("\n").split("\n") if text else []
    assert flat(pieces) == [word for line in lines for word in [*line.split(), "<eos>"]]


def test_words_to_text():
    words = ["The", "cat", "<eos>", "<eos>", "sat", "."]
    assert "".join(WHITESPACE.as_text(words)) == "The cat\n\nsat ."
    assert "".join(WHITESPACE.as_text(words, after=["<eos>", "a"])) == " The cat\n\nsat ."
    assert "".join(WHITESPACE.as_text(words, after=["a", "<eos>"])) == "The cat\n\nsat ."
