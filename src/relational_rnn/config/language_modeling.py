"""The word language model: its data, its model around the core, and its loss."""

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from .fields import check, check_at_least, check_probability
from .task import TaskConfig


@dataclass(kw_only=True)
class LanguageModelingConfig(TaskConfig):
    """Word language model."""

    task: Literal["language-modeling"] = "language-modeling"
    """The task that this configuration is for."""

    data: str = "pydoc"
    """Name of a corpus, or a folder with train.txt, valid.txt and test.txt."""

    bptt: int = 35
    """Words in one window of truncated backpropagation through time."""

    random_bptt: bool = False
    """Draw the length of each window at random around bptt, and let the learning rate go by it
    (Merity et al. 2018, 4.1)."""

    random_offset: bool = False
    """Start the streams of each epoch at another word."""

    embedding_size: int = 128
    """Width of the word embedding."""

    tied: bool = True
    """Use the embedding as the weight of the output layer (Press and Wolf 2017)."""

    head: Literal["full", "adaptive"] = "full"
    """Softmax over all words, or adaptive softmax (Grave et al. 2017), which is not tied."""

    cutoffs: list[int] | None = None
    """adaptive: first word of each cluster of rare words; null: derived from the vocabulary."""

    mixtures: int = 1
    """Number of softmaxes mixed in the output (Yang et al. 2018); 1: a plain softmax."""

    label_smoothing: float = 0.0
    """Share of the target probability spread over all words (Szegedy et al. 2016); the training
    loss shown is the smoothed one, above the validation loss of as good a model."""

    softmax_samples: int = 0
    """Words drawn to stand for the vocabulary in the training loss (Jean et al. 2015), which then
    is of these words alone; 0: all."""

    embedding_dropout: float = 0.0
    """Dropout of the embedded words."""

    word_dropout: float = 0.0
    """Dropout of whole words from the embedding (Gal and Ghahramani 2016)."""

    output_dropout: float = 0.0
    """Dropout before the output layer."""

    variational: bool = False
    """Use one dropout mask for all steps of a window (Gal and Ghahramani 2016)."""

    activation_regularization: float = 0.0
    """Weight of the mean square of what the softmax reads, after dropout (Merity et al. 2017)."""

    temporal_activation_regularization: float = 0.0
    """Weight of the mean square of its change from step to step (Merity et al. 2017)."""

    reset_probability: float = 0.0
    """Probability to start a stream's window from the initial memory (Melis et al. 2018)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "bptt", "embedding_size", "mixtures")
        check_probability(
            self,
            "embedding_dropout",
            "word_dropout",
            "output_dropout",
            "label_smoothing",
            "reset_probability",
        )
        check_at_least(
            self,
            0,
            "softmax_samples",
            "activation_regularization",
            "temporal_activation_regularization",
        )
        if self.cutoffs is not None:
            rising = all(a < b for a, b in zip([0, *self.cutoffs], self.cutoffs, strict=False))
            check(self, "cutoffs", bool(self.cutoffs) and rising, "integers that rise from above 0")
            if self.head != "adaptive":
                raise UserError(f"cutoffs: {self.cutoffs} needs head: adaptive, not {self.head}")
        if self.head == "adaptive":
            for name, off in (("mixtures", 1), ("label_smoothing", 0.0), ("softmax_samples", 0)):
                if getattr(self, name) != off:
                    raise UserError(f"{name}: {getattr(self, name)} needs head: full, not adaptive")
        if self.softmax_samples:
            for name, off in (("mixtures", 1), ("label_smoothing", 0.0)):
                if getattr(self, name) != off:
                    raise UserError(f"softmax_samples: not with {name}: {getattr(self, name)}")

    def without_effect(self) -> dict[str, str]:
        """Fields that change nothing in this configuration, each with the reason."""
        reasons = super().without_effect()
        if self.head == "adaptive":
            reasons["tied"] = "head is adaptive"
        return reasons
