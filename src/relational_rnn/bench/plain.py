"""The word model that everybody starts from, as a yardstick."""

from torch import Tensor, nn

from ..config import LanguageModelingConfig
from ..models.cores import State


class PlainModel(nn.Module):
    """The LSTM of PyTorch's own example ``word_language_model``, with tied weights.

    ``nn.Embedding``, ``nn.LSTM``, ``nn.Linear`` and ``nn.CrossEntropyLoss``, so all logits
    ``[T * B, V]`` at once. Only what is needed of `models.language_model.LanguageModel`'s surface.

    Args:
        config: the width, used for embedding and LSTM alike, and the dropout.
        vocabulary_size: number V of words.
    """

    def __init__(self, config: LanguageModelingConfig, vocabulary_size: int) -> None:
        super().__init__()
        width = config.embedding_size
        self.drop = nn.Dropout(config.output_dropout)
        self.encoder = nn.Embedding(vocabulary_size, width)
        self.rnn = nn.LSTM(width, width)
        self.decoder = nn.Linear(width, vocabulary_size)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        self.criterion = nn.CrossEntropyLoss()

    def initial_state(self, batch_size: int) -> State:
        """Zeros, each ``[1, B, H]``."""
        zeros = self.encoder.weight.new_zeros(1, batch_size, self.rnn.hidden_size)
        return zeros, zeros

    def loss(self, tokens: Tensor, targets: Tensor, state: State) -> tuple[Tensor, State]:
        """Mean loss in nats of ``targets`` ``[T, B]``, and the state to go on with."""
        embedded = self.drop(self.encoder(tokens))
        output, state = self.rnn(embedded, state)
        decoded = self.decoder(self.drop(output))  # [T, B, V]
        loss: Tensor = self.criterion(decoded.flatten(0, 1), targets.flatten())
        return loss, state
