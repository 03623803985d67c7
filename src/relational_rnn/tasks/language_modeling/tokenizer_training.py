"""Make the tokenizer of a training text."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from ...errors import UserError
from .file_tokenizer import FileTokenizer
from .lines import lines
from .tokenization import EOS, UNKNOWN

Kind = Literal["words", "chars", "subwords", "blanks"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
"""How a character outside the vocabulary is spelled, in the library's notation."""

_LETTER = r"[\w&&[^\p{Han}\p{Hiragana}]]"  # in the library's notation, Oniguruma's
WORD = "|".join(
    (
        "<unk>",
        r"(?<!\w)(?:\p{L}\.){2,}(?!\w)",  # U.S., e.g.
        r"\d+(?:[.,:]\d+)+",  # 3.14, 1,000, 10:30
        r"[\p{Han}\p{Hiragana}]",
        rf"{_LETTER}+(?:['’\-]{_LETTER}+)*",  # don't, well-known
        r"([\p{P}\p{S}&&\p{ASCII}])\1{0,2}",  # a mark, or up to three equal ones
        r"(?!\s)\X",  # anything else that is seen as one character, such as an emoji of several
    )
)

MOST_SUBWORDS = 1_000_000
"""The library takes memory for as many subwords as are asked for."""
"""A word or a mark.

Words with their hyphens and apostrophes, numbers, and abbreviations stay whole, as in the Moses
tokenizer. Chinese characters and Hiragana stand alone, as there are no blanks between words.
"""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """What tokenizer to make.

    Attributes:
        tokens: what a token is. "words": words and punctuation marks (:data:`WORD`); "chars":
            characters; "subwords": frequent sequences of bytes within a word (byte-level BPE,
            Sennrich et al. 2016); "blanks": whatever whitespace separates.
        min_count: occurrences that a token must have in the training text. Rarer words become
            ``<unk>``; rarer characters and sequences are spelled with smaller ones.
        vocabulary_size: most tokens that the vocabulary may have, of which it keeps the most
            frequent ones.
        lower: convert to lower case.
    """

    tokens: Kind = "words"
    min_count: int = 2
    vocabulary_size: int | None = None
    lower: bool = False

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise UserError(f"--min-count: must be at least 1, got {self.min_count}")
        least = {"chars": len(BYTES) + 1, "subwords": len(BYTES) + 1}.get(self.tokens, 3)
        if self.size < least:
            raise UserError(
                f"--vocabulary-size: must be at least {least} for {self.tokens}, got {self.size}"
            )

    @property
    def size(self) -> int:
        """Most tokens, by default as many as a small model can use."""
        if self.vocabulary_size is not None:
            return self.vocabulary_size
        return 8_000 if self.tokens == "subwords" else 50_000


def make_tokenizer(text: Callable[[], Iterable[str]], config: TokenizerConfig) -> FileTokenizer:
    """Make the tokenizer of a training text; ids are by falling frequency in the text.

    Args:
        text: returns the training text in pieces; it is called twice.
        config: what tokenizer to make.

    Raises:
        UserError: the text has no words.
    """
    if config.tokens in ("words", "blanks"):
        tokenizer = _whole_words(text(), config)
    elif config.tokens == "chars":
        tokenizer = _characters(text(), config)
    else:
        tokenizer = _subwords(text(), config)
    return _sorted_by_frequency(tokenizer, text())


def count_words(text: Iterable[str]) -> int:
    """Number of words of a text as "words" counts them, the end of each line included."""
    return sum(map(len, _WORDS.tokenize(text)))


def _new(model: models.Model, config: TokenizerConfig) -> tokenizers.Tokenizer:
    tokenizer = tokenizers.Tokenizer(model)
    if config.lower:
        tokenizer.normalizer = normalizers.Lowercase()
    return tokenizer


def _word_level(words: Iterable[str], config: TokenizerConfig) -> FileTokenizer:
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = _new(models.WordLevel(ids, unk_token=UNKNOWN), config)
    if config.tokens == "blanks":
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(
            tokenizers.Regex(WORD), behavior="removed", invert=True
        )
    return FileTokenizer(tokenizer.to_str())


_WORDS = _word_level([EOS, UNKNOWN], TokenizerConfig())


def _whole_words(text: Iterable[str], config: TokenizerConfig) -> FileTokenizer:
    splitter = _word_level([EOS, UNKNOWN], config)
    counts = Counter(chain.from_iterable(splitter.tokenize(text)))
    del counts[EOS], counts[UNKNOWN]
    return _word_level([EOS, UNKNOWN, *_most_common(counts, config, besides=2)], config)


def _characters(text: Iterable[str], config: TokenizerConfig) -> FileTokenizer:
    counts = Counter(chain.from_iterable(text))
    if config.lower:
        lowered: Counter[str] = Counter()
        for character, count in counts.items():
            for one in normalizers.Lowercase().normalize_str(character):
                lowered[one] += count
        counts = lowered
    del counts["\n"]
    characters = _most_common(counts, config, besides=len(BYTES) + 1)
    ids = {token: number for number, token in enumerate([EOS, *BYTES, *characters])}
    tokenizer = _new(models.BPE(ids, [], byte_fallback=True), config)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return FileTokenizer(tokenizer.to_str())


def _subwords(text: Iterable[str], config: TokenizerConfig) -> FileTokenizer:
    tokenizer = _new(models.BPE(), config)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=min(config.size, MOST_SUBWORDS) - 1,  # and <eos>
        min_frequency=config.min_count,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((line.removesuffix("\n") for line in lines(text)), trainer)
    ids = tokenizer.get_vocab()
    return _with_ids(tokenizer, [EOS, *sorted(ids, key=ids.__getitem__)])


def _most_common(counts: Counter[str], config: TokenizerConfig, *, besides: int) -> list[str]:
    """The tokens to keep, as many as there is room for next to ``besides`` others."""
    frequent = [token for token, count in counts.most_common() if count >= config.min_count]
    return frequent[: config.size - besides]


def _sorted_by_frequency(tokenizer: FileTokenizer, text: Iterable[str]) -> FileTokenizer:
    """The same tokenizer with ids by falling frequency; ties by the previous id."""
    known = set(tokenizer.words)
    counts = Counter(
        token if token in known else UNKNOWN for part in tokenizer.tokenize(text) for token in part
    )
    if counts.keys() <= {EOS}:
        raise UserError("the training text holds no words, only blank lines")
    words = sorted(tokenizer.words, key=lambda token: -counts[token])
    return _with_ids(tokenizers.Tokenizer.from_str(tokenizer.content), words)


def _with_ids(tokenizer: tokenizers.Tokenizer, words: list[str]) -> FileTokenizer:
    """The same tokenizer with ``words[i]`` as the token i."""
    declared = json.loads(tokenizer.to_str())
    declared["model"]["vocab"] = {word: number for number, word in enumerate(words)}
    return FileTokenizer(json.dumps(declared, ensure_ascii=False, indent=1) + "\n")
