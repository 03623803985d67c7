import pytest

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import Vocabulary, read_prompt
from relational_rnn.tasks.language_modeling.tokenization import tokenize

VOCABULARY = Vocabulary(["the", "<eos>", "cat", "<unk>"])


@pytest.mark.parametrize("text", ["the cat", "the\n\ncat", "\n the\tcat \n cat", "the\r\ncat"])
def test_it_is_read_as_in_training_after_a_line_end(text):
    read = read_prompt(text, VOCABULARY)
    in_training = [word for part in tokenize([text.replace("\r", "")]) for word in part]
    assert [*read.words, "<eos>"] == ["<eos>", *in_training]
    assert VOCABULARY.decode(read.ids) == read.words


@pytest.mark.parametrize(("text", "ends"), [("the\n", 1), ("the \n\n", 2), ("the", 0), ("\n", 1)])
def test_a_line_end_at_the_end_is_read(text, ends):
    assert read_prompt(text, VOCABULARY).words == ["<eos>", *text.split(), *["<eos>"] * ends]


def test_unknown_words_are_read_and_named_as_such():
    read = read_prompt("the zebra \x1b[31m zebra <unk>", VOCABULARY)
    assert read.words == ["<eos>", "the", "<unk>", "<unk>", "<unk>", "<unk>"]
    assert read.note == (
        "the prompt: words not in the vocabulary are read as <unk>: 'zebra', '\\x1b[31m'"
    )
    assert read_prompt("the cat <unk>", VOCABULARY).note is None
    assert read_prompt(" ".join("abcdef"), VOCABULARY).note.endswith("'d', 'e', …")


def test_a_prompt_that_is_not_utf8():
    with pytest.raises(UserError, match=r"^the prompt: is not UTF-8 \(character 3: '\\udcff'\)"):
        read_prompt("the\udcff", VOCABULARY)
