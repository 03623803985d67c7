"""Control characters never reach the terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relational_rnn.printable import printable, quoted, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a word, ein Wort, 単語 🙂", "a word, ein Wort, 単語 🙂"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x9b31m", "\\x9b31m"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("a\u2028b", "a\\u2028b"),
        ("a\udcff", "a\\xff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert printable(text) == shown


def test_newlines_are_kept_where_asked_for():
    assert printable("a\nb\x1b\r\n", newlines=True) == "a\nb\\x1b\\r\n"


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_can_be_printed_in_one_line(text):
    shown = printable(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)


def test_long_text_loses_its_middle():
    assert shortened("a" * 30, 10) == "aaaaa … aaaaa"
    assert shortened("a" * 10, 10) == "a" * 10


def test_any_value_is_quoted_briefly():
    assert quoted("x") == "'x'"
    assert len(quoted(["x" * 1000] * 1000)) < 210
    assert quoted(16**5000) == "a number with thousands of digits"
