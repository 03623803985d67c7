import pytest
from hypothesis import given
from hypothesis import strategies as st

from relational_rnn.tasks.language_modeling.lines import lines

PIECES = st.lists(st.text("ab \n", max_size=30), max_size=8)


@given(PIECES, st.integers(1, 9))
def test_nothing_is_lost_and_no_part_is_longer(pieces, longest):
    parts = list(lines(pieces, longest))
    assert "".join(parts) == "".join(pieces)
    assert all(0 < len(part.removesuffix("\n")) <= longest or part == "\n" for part in parts)
    assert all("\n" not in part[:-1] for part in parts)


@given(PIECES, st.integers(1, 9))
def test_the_parts_do_not_depend_on_the_pieces(pieces, longest):
    assert list(lines(pieces, longest)) == list(lines(["".join(pieces)], longest))


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("one two three\n", ["one two", " three\n"]),
        ("abcdefghijklm", ["abcdefghij", "klm"]),
        ("one two\n", ["one two\n"]),
    ],
    ids=["at a blank", "in a word", "short"],
)
def test_where_a_long_line_is_cut(line, parts):
    assert list(lines([line], 10)) == parts
