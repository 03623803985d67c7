"""A language model as an ONNX file: one step, for programs without PyTorch."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from .errors import UserError
from .files import write_bytes
from .models.cores import State
from .models.language_model import LanguageModel
from .tasks.language_modeling import Vocabulary
from .tasks.language_modeling.file_tokenizer import FileTokenizer

BATCH = torch.export.Dim("batch")
REGISTRATION = "torch.onnx._internal.exporter._registration"
"""PyTorch's logger that warns when torchvision is missing."""


class Step(nn.Module):
    """A step of a language model, with all that it reads and writes as separate tensors."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Log-probabilities ``[B, V]`` of the next word and the next state, from tokens ``[B]``."""
        scores, after = self.model(tokens[None], state)
        return (scores[0], *after)


def export_language_model(model: LanguageModel, vocabulary: Vocabulary, path: Path) -> None:
    """Write one step of the model, for any batch size, with its vocabulary.

    Inputs: ``tokens`` ``[B]`` int64 and the state, ``state_0``, ``state_1``, ... Outputs:
    ``log_probabilities`` ``[B, V]`` float32 of the word after each token, and the next state,
    ``next_state_0``, ... The file's metadata has the list of words as JSON, ``vocabulary``, the
    content of tokenizer.json where the text has one, ``tokenizer``, and the initial state of one
    sequence as nested lists, ``initial_state``.

    Args:
        model: in evaluation mode, on the CPU.
        vocabulary: its words.
        path: of the file.

    Raises:
        UserError: the file exists or cannot be written, the packages of the extra ``onnx`` are not
            installed, or PyTorch's exporter fails, as that of 2.9 does.
    """
    if path.exists():
        raise UserError(f"{path}: exists already; give a new file")
    if not path.parent.is_dir():
        raise UserError(f"{path}: cannot be written: there is no folder {path.parent}")
    try:
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError as error:
        raise UserError(
            f"--onnx: {error.name} is not installed; run: pip install onnx onnxscript"
        ) from error
    # two sequences: a batch of one would be taken for a constant
    state = model.initial_state(2)
    names = [f"state_{number}" for number in range(len(state))]
    with warnings.catch_warnings(), _quiet(REGISTRATION):
        warnings.simplefilter("ignore")  # of PyTorch's own parts
        try:
            program = torch.onnx.export(
                Step(model),
                (torch.zeros(2, dtype=torch.int64), *state),
                input_names=["tokens", *names],
                output_names=["log_probabilities", *(f"next_{name}" for name in names)],
                dynamic_shapes=({0: BATCH}, tuple({0: BATCH} for _ in state)),
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise UserError(
                f"--onnx: PyTorch {torch.__version__} cannot export this model; it was tested with "
                "PyTorch 2.13, install that or a newer one"
            ) from error
    assert program is not None
    _describe(program, vocabulary, state)
    write_bytes(path, program.model_proto.SerializeToString())


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without the warnings of a logger."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _describe(program: torch.onnx.ONNXProgram, vocabulary: Vocabulary, state: State) -> None:
    program.model.metadata_props["vocabulary"] = json.dumps(vocabulary.words, ensure_ascii=False)
    if isinstance(vocabulary.tokenizer, FileTokenizer):
        program.model.metadata_props["tokenizer"] = vocabulary.tokenizer.content
    program.model.metadata_props["initial_state"] = json.dumps([one[0].tolist() for one in state])
