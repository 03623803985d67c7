import json
import sys

import pytest


def test_writes_a_step_that_another_program_can_run(make_run, rrnn, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    run = make_run()
    path = tmp_path / "mine.onnx"
    answer = rrnn("export", "mine", "--onnx", path, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == {"run": "runs/mine", "onnx": str(path)}
    session = onnxruntime.InferenceSession(path)
    words = json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"])
    assert words == run.vocabulary.words
    assert [one.name for one in session.get_inputs()] == ["tokens", "state_0"]


def test_needs_to_know_what_to_write(make_run, rrnn):
    make_run()
    answer = rrnn("export", "mine")
    assert (answer.code, answer.err) == (2, "error: say what to write: --onnx FILE\n")


def test_names_the_extra(make_run, rrnn, monkeypatch):
    make_run()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    answer = rrnn("export", "mine", "--onnx", "mine.onnx")
    assert answer.code == 2
    assert 'pip install "relational-rnn[onnx]"' in answer.err


def test_a_folder_that_is_not_there(make_run, rrnn):
    make_run()
    answer = rrnn("export", "mine", "--onnx", "nowhere/mine.onnx")
    assert answer.code == 2
    assert answer.err.startswith("error: nowhere/mine.onnx: ")
    assert answer.err.count("\n") == 1
