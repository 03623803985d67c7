"""Complete models: an embedding or one-hot input, a recurrent core (`Stack`), an output head."""

from .cores import Stack
from .encoder_decoder import EncoderDecoder
from .sequence_classifier import SequenceClassifier
from .sequence_tagger import SequenceTagger

__all__ = ["EncoderDecoder", "SequenceClassifier", "SequenceTagger", "Stack", "TaskModel"]

TaskModel = SequenceClassifier | EncoderDecoder | SequenceTagger
"""A model of a generated task: ``model(inputs, lengths, targets) -> logits [..., B, C]``."""
