"""The local web page: a memory at work, word by word and step by step (extra ``show``)."""
