"""The words that a model reads before it continues a text."""

from itertools import chain
from typing import NamedTuple

from ...errors import UserError
from .tokenization import EOS, UNKNOWN
from .vocabulary import Vocabulary

NAMED = 5  # unknown words that the note names


class Prompt(NamedTuple):
    """A prompt as a model reads it, after ``<eos>``, which ends the line before it."""

    ids: list[int]  # [T], at least the leading <eos>
    words: list[str]  # [T], the words of these ids
    unknown: list[str]  # distinct words of the prompt that are read as <unk>

    @property
    def note(self) -> str | None:
        """One line about the unknown words, if there are any."""
        if not self.unknown:
            return None
        more = ", …" if len(self.unknown) > NAMED else ""
        return (
            f"the prompt: words not in the vocabulary are read as {UNKNOWN}: "
            f"{', '.join(map(repr, self.unknown[:NAMED]))}{more}"
        )


def read_prompt(prompt: str, vocabulary: Vocabulary) -> Prompt:
    """Encode a prompt as the vocabulary's tokenizer reads it: each line end is ``<eos>``.

    The last line of the prompt is open: the model continues it, unless a line end follows.

    Raises:
        UserError: the prompt is not UTF-8, or has a word that is not in a vocabulary without
            ``<unk>``.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:  # an argument in another encoding, as Python keeps it
        raise UserError(
            f"the prompt: is not UTF-8 (character {error.start}: {prompt[error.start]!r}); "
            "use a terminal or a script in UTF-8"
        ) from None
    text = prompt.replace("\r\n", "\n").replace("\r", "\n")
    words = [EOS, *chain.from_iterable(vocabulary.tokenizer.tokenize([text]))]
    if text and not text.endswith("\n"):
        words.pop()  # the end of the last line, which is open
    return encode_prompt(words, vocabulary)


def encode_prompt(words: list[str], vocabulary: Vocabulary) -> Prompt:
    """Encode the words of a prompt, the leading ``<eos>`` included; raises as `read_prompt`."""
    ids = vocabulary.encode(words, where="the prompt").tolist()
    unknown = dict.fromkeys(word for word in words if word not in vocabulary.index)
    return Prompt(ids, vocabulary.decode(ids), list(unknown))
