"""Words and marks, taken apart and put together again."""

import pytest

from relational_rnn.tasks.language_modeling.tokenizer_training import (
    TokenizerConfig,
    make_tokenizer,
)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer(lambda: ["a text\n"], TokenizerConfig(min_count=1))


@pytest.mark.parametrize(
    "line",
    [
        'He said: "don\'t go" (now), and/or "stay"; 50% off!',
        "the dogs’ tails; it’s 10:30 in the U.S., e.g. now - ok...",
        "“Well-known,” she said, ‘quoting’ [1, 2] {three}.",
        "Er sagte: „Nein“, und ging. »So?« ‚Ja‘, für 3,50 €.",
        "«Bonjour», dit-il. «Ça va?»",
        "¿Qué? ¡No!",
        "他说：“你好，世界！”然后用Python写了2个程序（很好）。",
        "彼は「カタカナ」と言った。",
        "안녕하세요, 세계!",
        "שלום, עולם! مرحبا، كيف؟",
        "#tag @name $5 £6 path/to/file C:\\temp",
        '"A" "B" \'c\'',
    ],
)
def test_a_line_comes_back_as_it_was_written(tokenizer, line):
    (words,) = tokenizer.tokenize([line])
    assert "".join(tokenizer.as_text(words)) == f"{line}\n"
    for cut in range(1, len(words)):
        first, then = ("".join(tokenizer.as_text(*part)) for part in (
            (words[:cut],), (words[cut:], words[:cut]),
        ))  # fmt: skip
        assert first + then == f"{line}\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("don't well-known", ["don't", "well-known"]),
        ("U.S., e.g. x.y.z", ["U.S.", ",", "e.g.", "x", ".", "y", ".", "z"]),
        ("3.14 1,000 10:30.", ["3.14", "1,000", "10:30", "."]),
        ("===== ...", ["===", "==", "..."]),
        ("我用Python", ["我", "用", "Python"]),
        ("ひらカタカナ", ["ひ", "ら", "カタカナ"]),
        ("<unk> <eos>", ["<unk>", "<", "eos", ">"]),
        ("👩\u200d👩\u200d👧👍🏽🇩🇪", ["👩\u200d👩\u200d👧", "👍🏽", "🇩🇪"]),
        ("नमस्ते e\u0301t", ["नमस्ते", "e\u0301t"]),
    ],
)
def test_words_and_marks(tokenizer, line, words):
    assert list(tokenizer.tokenize([line])) == [[*words, "<eos>"]]


def test_an_open_quotation_ends_with_its_line(tokenizer):
    words = ["“", "open", "<eos>", '"', "next", '"']
    assert "".join(tokenizer.as_text(words)) == '“open\n"next"'
