"""Complete models: an embedding or one-hot input, a recurrent core, an output head."""

from .encoder_decoder import EncoderDecoder
from .sequence_classifier import SequenceClassifier
from .sequence_tagger import SequenceTagger

__all__ = ["EncoderDecoder", "SequenceClassifier", "SequenceTagger", "TaskModel"]

TaskModel = SequenceClassifier | EncoderDecoder | SequenceTagger
"""A model of a generated task: ``model(inputs, lengths, targets) -> logits [..., B, C]``."""
