"""The word language model: its data, its model around the core, and its loss."""

from dataclasses import dataclass
from typing import Literal

from ..errors import UserError
from .core import RECURRENT
from .fields import WIDTH, WORDS, must_be, one_of, option
from .training import TaskConfig


@dataclass(kw_only=True)
class LanguageModelingConfig(TaskConfig):
    """Word language model."""

    task: Literal["language-modeling"] = option("language-modeling", decides="task")
    """Task of this configuration."""

    data: str = option("pydoc", group="data", resumable=True, prominent=True)
    """pydoc, wikitext-2, wikitext-103, or a folder with train.txt, valid.txt and test.txt."""

    bptt: int = option(35, at_least=1, limit=1_000_000, group="data")
    """Words in one window of truncated backpropagation through time."""

    random_bptt: bool = option(False, group="data")
    """Draw the length of each window at random around bptt, and scale the learning rate with it
    (Merity et al. 2018, 4.1)."""

    random_offset: bool = option(False, group="data")
    """Start the streams of each epoch at another word."""

    reset: Literal["eos"] | None = option(None, group="model")
    """Where the memory is set back to its initial value. eos: at the end of each line of the text,
    so that each line is read by itself; null: nowhere, what a line says is known in the next."""

    embedding_size: int = option(128, at_least=1, limit=WIDTH, group="model", decides="model")
    """Width of the word embedding."""

    tied: bool = option(True, group="model", unless=("head", "adaptive"), decides="model")
    """Use the embedding as the weight of the output layer (Press and Wolf 2017)."""

    head: Literal["full", "adaptive"] = option("full", group="model", decides="model")
    """Softmax over all words, or adaptive softmax (Grave et al. 2017), which is not tied."""

    cutoffs: list[int] | None = option(
        None, limit=WORDS, group="model", only=("head", "adaptive"), decides="model"
    )
    """First word of each cluster of rare words; null: derived from the vocabulary."""

    adaptive_input: bool = option(False, group="model", only=("head", "adaptive"), decides="model")
    """Narrower vectors for rarer words, shared by embedding and output layer, with the clusters of
    the adaptive softmax (Baevski and Auli 2019)."""

    mixtures: int = option(1, at_least=1, limit=1_000, group="model", decides="model")
    """Number of softmaxes mixed in the output (Yang et al. 2018); 1: a plain softmax."""

    label_smoothing: float = option(0.0, at_least=0, below=1, group="optimisation")
    """Share of the target probability spread over all words (Szegedy et al. 2016). The training
    loss shown is the smoothed one, above the validation loss of an equally good model."""

    softmax_samples: int = option(0, at_least=0, limit=WORDS, group="optimisation")
    """Sampled softmax: words sampled for the training loss (Jean et al. 2015), which is then over
    these words alone, and lower than over all words; 0: all words."""

    embedding_dropout: float = option(0.0, at_least=0, below=1, group="model")
    """Dropout of the embedded words."""

    word_dropout: float = option(0.0, at_least=0, below=1, group="model")
    """Dropout of whole words from the embedding (Gal and Ghahramani 2016)."""

    state_dropout: float = option(0.0, at_least=0, below=1, group="model")
    """Dropout of the state that a window of the training text starts with."""

    output_dropout: float = option(0.0, at_least=0, below=1, group="model")
    """Dropout before the output layer."""

    variational: bool = option(False, group="model")
    """Use one dropout mask for all steps of a window (Gal and Ghahramani 2016)."""

    activation_regularization: float = option(0.0, at_least=0, group="optimisation")
    """Weight of the mean square of the softmax's input, after dropout (Merity et al. 2017)."""

    temporal_activation_regularization: float = option(0.0, at_least=0, group="optimisation")
    """Weight of the mean square of its change from step to step (Merity et al. 2017)."""

    reset_probability: float = option(0.0, at_least=0, below=1, group="optimisation")
    """Probability to start a stream's window from the initial memory (Melis et al. 2018)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.model == "transformer":
            raise must_be("model", f"{one_of(RECURRENT)} for language-modeling", self.model)
        if self.cutoffs is not None:
            rising = all(a < b for a, b in zip([0, *self.cutoffs], self.cutoffs, strict=False))
            if not self.cutoffs or not rising:
                raise must_be("cutoffs", "increasing integers above 0", self.cutoffs)
            if self.head != "adaptive":
                raise UserError(f"cutoffs: {self.cutoffs} needs head: adaptive, not {self.head}")
        if self.adaptive_input and self.head != "adaptive":
            raise UserError(f"adaptive_input: needs head: adaptive, not {self.head}")
        if self.head == "adaptive":
            for name, off in (("mixtures", 1), ("label_smoothing", 0.0), ("softmax_samples", 0)):
                if getattr(self, name) != off:
                    raise UserError(f"{name}: {getattr(self, name)} needs head: full, not adaptive")
        if self.softmax_samples:
            for name, off in (("mixtures", 1), ("label_smoothing", 0.0)):
                if getattr(self, name) != off:
                    raise UserError(f"softmax_samples: not with {name}: {getattr(self, name)}")
