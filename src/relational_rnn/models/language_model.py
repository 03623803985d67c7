"""The word language model: embedding -> core -> projection -> output head.

Letters: T time, B batch, E embedding size, V vocabulary size.
"""

from dataclasses import asdict
from typing import Any, Literal, Self

from torch import Tensor, nn

from ..config import LanguageModelingConfig
from ..nn.adaptive_embedding import AdaptiveEmbedding
from ..nn.dropout import EmbeddingDropout, VariationalDropout
from ..nn.heads import AdaptiveSoftmaxHead, SoftmaxHead, default_cutoffs
from ..nn.sharing import Shareable
from .cores import Stack, State

EMBEDDING_RANGE = 0.1  # uniform in [-0.1, 0.1], as in Zaremba et al. 2014 and later models


class LanguageModel(Shareable):
    """Word language model with a recurrent core.

    Args:
        config: core, widths, head and dropout.
        vocabulary_size: number V of words.
        eos: id of ``<eos>``, which ``reset: eos`` needs: every state is initial before this word is
            read, as at the beginning of a text, which it precedes.

    Raises:
        ValueError: cutoffs exceed the vocabulary, or ``eos`` is missing or not in it.
    """

    def __init__(
        self, config: LanguageModelingConfig, vocabulary_size: int, eos: int | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.eos = eos
        if config.reset and not (type(eos) is int and 0 <= eos < vocabulary_size):
            raise ValueError(f"eos must be an id in the vocabulary for reset: eos, got {eos!r}")
        width = config.embedding_size
        dropout = VariationalDropout if config.variational else nn.Dropout
        cutoffs = config.cutoffs or default_cutoffs(vocabulary_size)
        self.embedding: nn.Embedding | AdaptiveEmbedding
        if config.adaptive_input:
            self.embedding = AdaptiveEmbedding(
                vocabulary_size, width, cutoffs, scale=EMBEDDING_RANGE
            )
        else:
            self.embedding = nn.Embedding(vocabulary_size, width)
            nn.init.uniform_(self.embedding.weight, -EMBEDDING_RANGE, EMBEDDING_RANGE)
        self.word_dropout = EmbeddingDropout(config.word_dropout)
        self.embedding_dropout = dropout(config.embedding_dropout)
        self.state_dropout = nn.Dropout(config.state_dropout)
        self.core = Stack(config, width)
        same = self.core.output_size == width
        self.projection = nn.Identity() if same else nn.Linear(self.core.output_size, width)
        self.output_dropout = dropout(config.output_dropout)
        self.head: SoftmaxHead | AdaptiveSoftmaxHead
        if config.head == "adaptive":
            shared = self.embedding if isinstance(self.embedding, AdaptiveEmbedding) else None
            self.head = AdaptiveSoftmaxHead(width, vocabulary_size, cutoffs, tied=shared)
        else:
            self.head = SoftmaxHead(
                width,
                vocabulary_size,
                tied_weight=self.embedding.get_parameter("weight") if config.tied else None,
                mixtures=config.mixtures,
                label_smoothing=config.label_smoothing,
                samples=config.softmax_samples,
            )
        self.activation_regularization = config.activation_regularization
        self.temporal_activation_regularization = config.temporal_activation_regularization

    def arguments(self) -> dict[str, Any]:
        """The configuration without the place of its text, and what is known of the vocabulary."""
        fields = asdict(self.config)
        del fields["data"]
        size = self.embedding.num_embeddings
        return {"config": fields, "vocabulary_size": size, "eos": self.eos}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Self:
        """A new model from what `arguments` gave."""
        config = LanguageModelingConfig(**arguments["config"])
        return cls(config, arguments["vocabulary_size"], arguments.get("eos"))

    def initial_state(self, batch_size: int) -> State:
        """The initial state, every tensor ``[B, ...]``."""
        return self.core.initial_state(batch_size)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Log-probability of every word at every place, and the next state.

        Log-probabilities are logits whose softmax is their exponential, so they serve wherever
        logits do; every head has them.

        Args:
            tokens: ``[T, B]`` int64.
            state: from :meth:`initial_state` or the previous call; default: the initial one.

        Returns:
            ``[T, B, V]`` float32 (or float64), of the word that follows each token, and the state
            after the last token.
        """
        if state is None:
            state = self.initial_state(tokens.shape[1])
        hidden, state = self.features(tokens, state)
        return self.head.log_probabilities(hidden), state

    def features(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """The input of the output head.

        Args:
            tokens: ``[T, B]`` int64.
            state: from :meth:`initial_state` or the previous window.

        Returns:
            Hidden ``[T, B, E]`` and the final state.
        """
        output, state = self._output(tokens, state)
        return self.output_dropout(output), state

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        state: State,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> tuple[Tensor, State]:
        """Negative log-likelihood of ``targets`` in nats, and the final state.

        Args:
            tokens: ``[T, B]`` int64.
            targets: ``[T, B]`` int64, the next words.
            state: from :meth:`initial_state` or the previous window.
            reduction: over the words; with "none" the loss is ``[T, B]``.
        """
        hidden, state = self.features(tokens, state)
        return self.head.loss(hidden, targets, reduction=reduction), state

    def regularized_loss(
        self, tokens: Tensor, targets: Tensor, state: State
    ) -> tuple[Tensor, Tensor, State]:
        """The mean loss, the training objective, and the final state; arguments as :meth:`loss`.

        The objective is the loss plus activation regularization, on the output after dropout, and
        temporal activation regularization, on the output before dropout (Merity et al. 2017,
        "Revisiting activation regularization").
        """
        output, state = self._output(tokens, state)
        hidden = self.output_dropout(output)
        loss = self.head.loss(hidden, targets, reduction="mean")
        objective = loss
        if self.activation_regularization:
            objective = objective + self.activation_regularization * hidden.square().mean()
        if self.temporal_activation_regularization and len(output) > 1:
            change = (output[1:] - output[:-1]).square().mean()
            objective = objective + self.temporal_activation_regularization * change
        return loss, objective, state

    def _output(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        embedded = self.embedding_dropout(self.word_dropout(self.embedding, tokens))  # [T, B, E]
        reset = tokens == self.eos if self.config.reset else None
        state = tuple(map(self.state_dropout, state))
        output, state = self.core(embedded, state, reset)
        return self.projection(output), state
