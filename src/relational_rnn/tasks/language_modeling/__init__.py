"""Words of a text, one after another: what a word language model is trained on.

A word's way from the file to the model, one module a station:

========== ==================================================================================
sources    a name or a folder -> where the text comes from (folder, wikitext, pydoc)
words      text -> words: every line is its words and ``<eos>``
vocabulary word -> id, by falling frequency in the training text
token_files ids -> memory-mapped files, prepared once and cached
corpus     all of it in one call: ``open_corpus("wikitext-2").tokens["train"]``
batching   ids -> windows ``[T, B]`` whose memory is carried from one to the next
========== ==================================================================================
"""

from .corpus import Corpus, encode_corpus, open_corpus
from .vocabulary import Vocabulary

__all__ = ["Corpus", "Vocabulary", "encode_corpus", "open_corpus"]
