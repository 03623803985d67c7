"""The language model as a model of the transformers library; needs the extra ``transformers``.

Importing this module registers it with transformers, so that ``AutoModelForCausalLM`` and
``AutoTokenizer`` load a folder that `save_for_transformers` wrote, and ``generate`` samples and
searches with beams.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Replace, Sequence
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils.generic import ModelOutput

from .config import LanguageModelingConfig
from .models.cores import State
from .models.language_model import LanguageModel
from .tasks.language_modeling import Vocabulary
from .tasks.language_modeling.file_tokenizer import FileTokenizer
from .tasks.language_modeling.tokenization import EOS


class RelationalConfig(PreTrainedConfig):
    """The configuration of a language model, and the size of its vocabulary.

    Args:
        fields: of `LanguageModelingConfig`, those that are not the defaults at least.
        vocab_size: number V of words.
        eos: id of ``<eos>``, see `LanguageModel`. It is not ``eos_token_id``, which would end
            ``generate`` at the first line end.
        **kwargs: of `PreTrainedConfig`.
    """

    model_type = "relational-rnn"

    def __init__(
        self,
        fields: dict[str, Any] | None = None,
        vocab_size: int = 2,
        eos: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.fields = fields or {}
        self.vocab_size = vocab_size
        self.eos = eos
        tied = self.fields.get("tied", True) or self.fields.get("adaptive_input", False)
        kwargs.setdefault("tie_word_embeddings", bool(tied))
        super().__init__(**kwargs)


@dataclass
class RelationalOutput(ModelOutput):
    """Loss (None without labels), logits ``[B, T, V]``, and the state after the last token."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    state: State | None = None


class RelationalForCausalLM(PreTrainedModel, GenerationMixin):
    """A language model of this package with the interface of transformers.

    Batches are ``[B, T]``. There is no padding: all sequences of a batch are equally long.

    Args:
        config: of the model.
    """

    config_class = RelationalConfig
    base_model_prefix = "model"
    accepts_loss_kwargs = False  # the loss is a mean: Trainer has to divide it by its pieces

    def __init__(self, config: RelationalConfig) -> None:
        super().__init__(config)
        fields = LanguageModelingConfig(**config.fields)
        self.model = LanguageModel(fields, config.vocab_size, config.eos)
        first: dict[int, str] = {}
        named = self.named_parameters(remove_duplicate=False)
        names = ((name, first.setdefault(id(parameter), name)) for name, parameter in named)
        tied = {name: other for name, other in names if name != other}
        if tied:
            self._tied_weights_keys = tied
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        state: State | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> RelationalOutput:
        """Log-probabilities of the next words.

        Args:
            input_ids: ``[B, T]`` int64.
            attention_mask: ``[B, T]``; all ones.
            state: from the previous call; default: the initial one.
            labels: ``[B, T]``, the input itself: the loss is that of each next word; -100 is
                ignored.

        Raises:
            ValueError: the mask hides a token.
        """
        if attention_mask is not None and not bool(attention_mask.all()):
            raise ValueError("padding is not supported: give sequences of one length")
        scores, state = self.model(input_ids.T, state)
        logits = scores.transpose(0, 1)  # [B, T, V]
        loss = None
        if labels is not None:
            loss = cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return RelationalOutput(loss=loss, logits=logits, state=state)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        state: State | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """What the next call of the model needs: once there is a state, the last token."""
        given = input_ids if state is None else input_ids[:, -1:]
        return {"input_ids": given, "attention_mask": attention_mask, "state": state}

    def _update_model_kwargs_for_generation(
        self, outputs: ModelOutput, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        model_kwargs["state"] = outputs["state"]
        return super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)

    def _reorder_cache(self, state: State, beam_idx: Tensor) -> State:
        return tuple(part.index_select(0, beam_idx.to(part.device)) for part in state)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the state takes its place

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: the model initialises itself."""


AutoConfig.register(RelationalConfig.model_type, RelationalConfig)
AutoModelForCausalLM.register(RelationalConfig, RelationalForCausalLM)


def word_tokenizer(vocabulary: Vocabulary) -> PreTrainedTokenizerFast:
    """The tokenizer of the text; without one, spaces separate words and <eos> ends a line."""
    if isinstance(vocabulary.tokenizer, FileTokenizer):
        tokenizer = Tokenizer.from_str(vocabulary.tokenizer.content)
        line_end = Replace("\n", EOS)  # then found as a whole by the added token
        before = tokenizer.normalizer
        tokenizer.normalizer = line_end if before is None else Sequence([before, line_end])
        tokenizer.add_special_tokens([AddedToken(EOS, normalized=True)])
    else:
        tokenizer = Tokenizer(WordLevel(vocabulary.index, unk_token="<unk>"))
        tokenizer.normalizer = Replace("\n", " <eos> ")
        tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>" if "<unk>" in vocabulary.index else None,
        eos_token="<eos>",
        clean_up_tokenization_spaces=False,
    )


def save_for_transformers(model: LanguageModel, vocabulary: Vocabulary, folder: Path) -> None:
    """Write a folder that ``AutoModelForCausalLM`` and ``AutoTokenizer`` load.

    The program that loads it has to import this module first.

    Args:
        model: a trained language model.
        vocabulary: its words.
        folder: made if need be.
    """
    fields = asdict(model.config)
    del fields["data"]
    wrapped = RelationalForCausalLM(RelationalConfig(fields, len(vocabulary), model.eos))
    wrapped.model.load_state_dict(model.state_dict())
    wrapped.save_pretrained(folder)
    word_tokenizer(vocabulary).save_pretrained(folder)
