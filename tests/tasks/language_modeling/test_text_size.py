import pytest

from relational_rnn.tasks.language_modeling.text_size import TextSize, measure


@pytest.mark.parametrize(
    ("pieces", "size"),
    [
        ([], TextSize(0, 0)),
        (["The cat, isn't it?\n"], TextSize(7, 19)),
        (["The cat, is", "n't it?"], TextSize(7, 19)),
        (["a\n", "", "\n"], TextSize(3, 3)),
        (["你好。"], TextSize(4, 4)),
    ],
    ids=["nothing", "a line", "in pieces, without its end", "a blank line", "Chinese"],
)
def test_words_with_marks_and_line_ends(pieces, size):
    assert measure(pieces) == size
