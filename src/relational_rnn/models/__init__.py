"""Complete models: an embedding or one-hot input, a recurrent core, an output head."""

from .encoder_decoder import EncoderDecoder
from .sequence_classifier import SequenceClassifier

__all__ = ["EncoderDecoder", "SequenceClassifier", "TaskModel"]

TaskModel = SequenceClassifier | EncoderDecoder
"""A model of a generated task: ``model(inputs, lengths, targets) -> logits [..., B, C]``."""
