"""Word-level texts for language models: from a file to windows of token ids.

A text passes through these modules in order:

============ ================================================================================
sources      name or folder -> the text, in three splits (folder, :mod:`.wikitext`, :mod:`.pydoc`)
tokenization text -> words; every line is its words and ``<eos>`` (:mod:`.file_tokenizer`: as a
             ``tokenizer.json`` says)
vocabulary   words -> ids, by descending frequency in the training split
corpus       ids -> memory-mapped files in a cache: ``open_corpus("wikitext-2").tokens["train"]``
prompt       the words to continue -> ids, as the same words are encoded for training
batching     ids -> windows ``[T, B]``, whose memory is carried from one window to the next
============ ================================================================================

``rrnn data`` makes such a folder of any text: :mod:`.raw_text` splits it, and
:mod:`.tokenizer_training` makes its tokenizer.
"""

from .corpus import Corpus, encode_corpus, open_corpus
from .prompt import Prompt, encode_prompt, read_prompt
from .text_size import TextSize
from .tokenization import open_tokenizer
from .vocabulary import Vocabulary

__all__ = [
    "Corpus",
    "Prompt",
    "TextSize",
    "Vocabulary",
    "encode_corpus",
    "encode_prompt",
    "open_corpus",
    "open_tokenizer",
    "read_prompt",
]
