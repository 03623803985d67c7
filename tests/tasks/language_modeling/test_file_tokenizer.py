"""Tokenizers made of a text: what they read, and what they write."""

import json
import subprocess
import sys
from collections import Counter
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from relational_rnn.errors import UserError
from relational_rnn.tasks.language_modeling import Vocabulary, read_prompt
from relational_rnn.tasks.language_modeling.file_tokenizer import FileTokenizer
from relational_rnn.tasks.language_modeling.tokenizer_training import (
    TokenizerConfig,
    make_tokenizer,
)

from .raw_texts import CHINESE, GERMAN, ODD, TEXTS

KINDS = ("words", "chars", "subwords", "blanks")
EXACT = ("chars", "subwords")


def make(text, kind="words", **fields):
    return make_tokenizer(lambda: [text], TokenizerConfig(tokens=kind, **fields))


def words_of(tokenizer, *pieces):
    return list(chain.from_iterable(tokenizer.tokenize(pieces)))


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: make(GERMAN + CHINESE, kind, min_count=1) for kind in KINDS}


@pytest.mark.parametrize("kind", EXACT)
@given(text=st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])))
def test_any_text_comes_back(tokenizers, kind, text):
    tokenizer = tokenizers[kind]
    words = words_of(tokenizer, text)
    assert set(words) <= set(tokenizer.words)
    ended = text if text.endswith("\n") or not text else f"{text}\n"
    assert "".join(tokenizer.as_text(words)) == ended
    assert words.count("<eos>") == ended.count("\n")


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize("text", TEXTS)
def test_a_real_text_comes_back(kind, text):
    content = TEXTS[text]()
    tokenizer = make(content[: len(content) // 2], kind, vocabulary_size=600)
    assert "".join(tokenizer.as_text(words_of(tokenizer, content))).rstrip() == content.rstrip()
    assert len(tokenizer.words) <= 600


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(len(ODD)))
def test_odd_texts(tokenizers, kind, number):
    tokenizer = tokenizers[kind]
    words = words_of(tokenizer, ODD[number])
    assert words[-1:] == (["<eos>"] if ODD[number] else [])
    vocabulary = Vocabulary(tokenizer.words, tokenizer)
    ids = vocabulary.encode(words, where="here")
    text = "".join(tokenizer.as_text(vocabulary.decode(ids)))
    if kind in EXACT and ODD[number]:
        assert text == f"{ODD[number]}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_make_no_difference(tokenizers, kind):
    text = GERMAN + "\n".join(ODD[:-2]) + CHINESE
    whole = words_of(tokenizers[kind], text)
    assert words_of(tokenizers[kind], *text) == whole
    assert (
        words_of(tokenizers[kind], *(text[at : at + 7] for at in range(0, len(text), 7))) == whole
    )


@pytest.mark.parametrize("kind", KINDS)
def test_ids_rise_as_frequency_falls(kind):
    text = TEXTS["english"]()[:60_000]
    tokenizer = make(text, kind)
    known = set(tokenizer.words)
    counts = Counter(word if word in known else "<unk>" for word in words_of(tokenizer, text))
    ordered = [counts[word] for word in tokenizer.words]
    assert ordered == sorted(ordered, reverse=True)
    saved = Tokenizer.from_str(tokenizer.content)
    assert [saved.id_to_token(number) for number in range(len(known))] == tokenizer.words
    line = "The for statement, f(x): 3.14 !"
    expected = [tokenizer.words.index(word if word in known else "<unk>")
                for word in words_of(tokenizer, line)[:-1]]  # fmt: skip
    assert saved.encode(line).ids == expected  # other programs read the file alike


def test_rare_words_are_unknown_and_rare_characters_are_spelled():
    text = "ab ab ab cd cd ef\n"
    assert sorted(make(text).words) == sorted(["<eos>", "<unk>", "ab", "cd"])
    assert "ef" in make(text, min_count=1).words
    assert sorted(make(text, vocabulary_size=3).words) == sorted(["<eos>", "<unk>", "ab"])
    chars = make(text, "chars")
    assert "e" not in chars.words
    assert words_of(chars, "ea")[:2] == ["<0x65>", "a"]


@pytest.mark.parametrize("kind", KINDS)
def test_lower_case(kind):
    tokenizer = make("The Cat THE CAT Éa\n" * 3, kind, lower=True)
    assert words_of(tokenizer, "THE ÉA") == words_of(tokenizer, "the éa")
    assert "".join(tokenizer.as_text(words_of(tokenizer, "The CAT"))) == "the cat\n"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_text_makes_the_same_file_in_another_process(kind):
    program = (
        "import sys; from relational_rnn.tasks.language_modeling.tokenizer_training import *;"
        f"print(make_tokenizer(lambda: [sys.argv[1]], TokenizerConfig(tokens={kind!r})).digest)"
    )
    command = [sys.executable, "-c", program, GERMAN * 3]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert found == make(GERMAN * 3, kind).digest


def test_a_character_is_shown_when_it_is_complete():
    tokenizer = make("abc\n", "chars", min_count=1)
    words = words_of(tokenizer, "a你b")
    assert words == ["a", "<0xE4>", "<0xBD>", "<0xA0>", "b", "<eos>"]
    assert list(tokenizer.as_text(words)) == ["a", "你", "b", "\n"]
    assert "".join(tokenizer.as_text([*words[:2], "b", "<0xE4>"])) == "a\ufffdb\ufffd"


def test_a_token_alone():
    tokenizer = make("the the the cat\n", "subwords", min_count=1)
    (word,) = [word for word in words_of(tokenizer, " the") if word != "<eos>"]
    assert tokenizer.shown(word) == "␣the"
    first = words_of(tokenizer, "é")[0]
    assert tokenizer.shown(first) == first  # half of a character
    assert tokenizer.shown("<eos>") == "<eos>"


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_line_of_a_prompt_is_open(tokenizers, kind):
    tokenizer = tokenizers[kind]
    vocabulary = Vocabulary(tokenizer.words, tokenizer)
    for prompt, ends in (("Der Bach", 1), ("Der Bach\n", 2), ("Der\r\nBach", 2), ("", 1)):
        assert read_prompt(prompt, vocabulary).words.count("<eos>") == ends
    read = read_prompt("Der Zebra", vocabulary)
    assert bool(read.note) == (kind not in EXACT)


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(tokenizers, kind, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizers[kind].save(path)
    loaded = FileTokenizer.load(path)
    assert (loaded.words, loaded.digest) == (tokenizers[kind].words, tokenizers[kind].digest)
    vocabulary = Vocabulary(loaded.words, loaded)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json", loaded).digest == vocabulary.digest
    (tmp_path / "vocabulary.json").write_text('["<eos>", "other"]', encoding="utf-8")
    with pytest.raises(UserError, match="words must be those of the tokenizer"):
        Vocabulary.load(tmp_path / "vocabulary.json", loaded)


def without(content, *keys):
    declared = json.loads(content)
    place = declared
    for key in keys[:-1]:
        place = place[key]
    del place[keys[-1]]
    return json.dumps(declared)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:50],
        lambda content: "[]",
        lambda content: "[" * 100_000,
        lambda content: without(content, "model", "vocab", "<eos>"),
        lambda content: without(content, "model", "vocab", "der"),
        lambda content: without(content, "pre_tokenizer"),
        lambda content: without(content, "model"),
    ],
    ids=["cut off", "a list", "nested deep", "no eos", "a gap", "no words", "no model"],
)
def test_a_damaged_file_is_named(tokenizers, tmp_path, damage):
    path = tmp_path / "tokenizer.json"
    path.write_text(damage(tokenizers["words"].content), encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json: is not a tokenizer") as caught:
        FileTokenizer.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_count": 0}, "--min-count: must be at least 1, got 0"),
        ({"vocabulary_size": 2}, "--vocabulary-size: must be at least 3 for words, got 2"),
        (
            {"vocabulary_size": 256, "tokens": "chars"},
            "--vocabulary-size: must be at least 257 for chars, got 256",
        ),
    ],
)
def test_numbers_out_of_range(fields, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        TokenizerConfig(**fields)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_without_words(kind):
    with pytest.raises(UserError, match="holds no words, only blank lines"):
        make("\n\n", kind)
