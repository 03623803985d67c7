"""What is exported to ONNX computes in onnxruntime what PyTorch computes."""

import json
import logging

import numpy as np
import pytest
import torch

from relational_rnn import RelationalMemory, RelationalMemoryCell
from relational_rnn.config import LanguageModelingConfig
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.onnx_export import export_language_model
from relational_rnn.tasks.language_modeling import Vocabulary

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of PyTorch's exporter
    pytest.mark.xfail(OLD, reason="PyTorch's exporter before 2.13", strict=False),
]

SIZES = {"input_size": 3, "mem_slots": 2, "head_size": 4, "num_heads": 2}
BUDGET = {"atol": 1e-5, "rtol": 1e-5}
BATCH = torch.export.Dim("batch")


def exported(module, arguments, dynamic_shapes, path):
    torch.onnx.export(
        module, arguments, path, dynamic_shapes=dynamic_shapes, dynamo=True, verbose=False
    )
    return onnxruntime.InferenceSession(path)


def run(session, *arguments):
    names = [one.name for one in session.get_inputs()]
    values = [argument.numpy() for argument in arguments]
    return session.run(None, dict(zip(names, values, strict=True)))


def test_a_cell_with_any_batch(tmp_path):
    torch.manual_seed(0)
    cell = RelationalMemoryCell(**SIZES, gate_style="memory")
    given = torch.randn(2, 3), cell.initial_state(2)
    session = exported(cell, given, ({0: BATCH}, {0: BATCH}), tmp_path / "cell.onnx")
    for batch in (1, 5):
        inputs, memory = torch.randn(batch, 3), torch.randn(batch, 2, 8)
        (found,) = run(session, inputs, memory)
        np.testing.assert_allclose(found, cell(inputs, memory).detach().numpy(), **BUDGET)


def test_a_sequence_of_fixed_length_with_its_initial_memory(tmp_path):
    torch.manual_seed(0)
    core = RelationalMemory(**SIZES, num_layers=2, batch_first=True)
    session = exported(core, (torch.randn(2, 4, 3),), ({0: BATCH},), tmp_path / "core.onnx")
    inputs = torch.randn(5, 4, 3)
    for found, expected in zip(run(session, inputs), core(inputs), strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), **BUDGET)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": "lstm"},
        {"head": "adaptive"},
        {"head": "adaptive", "adaptive_input": True},
        {"reset": "eos", "mem_slots": 2},
        {"reset": "eos", "model": "gru", "num_layers": 2},
        {"reset": "eos", "model": "mingru", "num_layers": 2},
    ],
    ids=str,
)
def test_a_step_of_a_language_model(tmp_path, fields, caplog):
    torch.manual_seed(0)
    words = ["<eos>", *map(str, range(19)), "Käse"]
    sizes = {"embedding_size": 8, "head_size": 4, "num_heads": 2, **fields}
    model = LanguageModel(LanguageModelingConfig(**sizes), len(words), 0).eval()
    path = tmp_path / "model.onnx"
    export_language_model(model, Vocabulary(words), path)
    shown = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not shown
    session = onnxruntime.InferenceSession(path)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["vocabulary"]) == words
    first = json.loads(metadata["initial_state"])
    for tensor, expected in zip(first, model.initial_state(1), strict=True):
        np.testing.assert_array_equal(np.array(tensor, np.float32)[None], expected.numpy())
    tokens = torch.randint(len(words), (4, 3))
    tokens[2, 1] = 0  # a line ends
    state = model.initial_state(3)
    expected, last = model(tokens, state)
    for step, scores in zip(tokens, expected, strict=True):
        found, *after = run(session, step, *state)
        np.testing.assert_allclose(found, scores.detach().numpy(), **BUDGET)
        state = [torch.from_numpy(one) for one in after]
    for found, wanted in zip(state, last, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted.detach().numpy(), **BUDGET)
