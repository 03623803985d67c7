import json
import sys
from pathlib import Path

import pytest
import torch

from relational_rnn import run_digests
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.registry import load_language_model
from relational_rnn.runs import find_run


def test_writes_a_step_that_another_program_can_run(make_run, rrnn, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    run = make_run()
    path = tmp_path / "mine.onnx"
    answer = rrnn("export", "mine", "--onnx", path, "--json")
    if "cannot export this model" in answer.err:
        pytest.skip(answer.err)
    assert (answer.code, answer.err) == (0, "")
    assert answer.json == {"run": "runs/mine", "onnx": str(path)}
    session = onnxruntime.InferenceSession(path)
    words = json.loads(session.get_modelmeta().custom_metadata_map["vocabulary"])
    assert words == run.vocabulary.words
    assert [one.name for one in session.get_inputs()] == ["tokens", "state_0"]


def test_for_transformers_a_folder_is_needed(make_run, rrnn, tmp_path):
    pytest.importorskip("transformers")
    make_run()
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine", encoding="utf-8")
    for name, reason in (
        ("file", "cannot be created"),
        ("file/below", "cannot be created"),
        ("full", "has files already; give a new folder"),
    ):
        answer = rrnn("export", "mine", "--transformers", tmp_path / name)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith(f"error: {tmp_path / name}: {reason}")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
    assert len(list((tmp_path / "full").iterdir())) == 1


def test_an_exporter_that_fails_is_one_line(make_run, rrnn, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    make_run()

    def fail(*_, **__):
        raise torch.onnx.errors.OnnxExporterError("many\nlines")

    monkeypatch.setattr(torch.onnx, "export", fail)
    answer = rrnn("export", "mine", "--onnx", tmp_path / "mine.onnx")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert f"--onnx: PyTorch {torch.__version__} cannot export this model" in answer.err
    assert not (tmp_path / "mine.onnx").exists()


def test_needs_to_know_what_to_write(make_run, rrnn):
    make_run()
    answer = rrnn("export", "mine")
    assert (answer.code, answer.err) == (
        2,
        ("error: say what to write: --onnx FILE, --hub FOLDER or --transformers FOLDER\n"),
    )


def test_names_the_extra(make_run, rrnn, monkeypatch):
    make_run()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    answer = rrnn("export", "mine", "--onnx", "mine.onnx")
    assert answer.code == 2
    assert "run: pip install onnx onnxscript" in answer.err


def test_for_transformers(make_run, rrnn, tmp_path):
    transformers = pytest.importorskip("transformers")
    make_run()
    answer = rrnn("export", "mine", "--transformers", tmp_path / "mine")
    assert (answer.code, answer.out) == (0, f"written: {tmp_path / 'mine'}\n")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "mine")
    expected = load_language_model(find_run("mine"))(torch.tensor([[1], [2]]))[0]
    assert torch.equal(model(torch.tensor([[1, 2]])).logits[0], expected[:, 0])


def test_never_replaces_a_file(make_run, rrnn, tmp_path):
    run = make_run()
    before = run.weights_path.read_bytes()
    answer = rrnn("export", "mine", "--onnx", run.weights_path)
    assert answer.code == 2
    assert answer.err == f"error: {run.weights_path}: exists already; give a new file\n"
    assert run.weights_path.read_bytes() == before


def test_a_folder_that_is_not_there(make_run, rrnn):
    make_run()
    answer = rrnn("export", "mine", "--onnx", "nowhere/mine.onnx")
    assert answer.code == 2
    assert answer.err.startswith("error: nowhere/mine.onnx: ")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(("model", "name"), [("lstm", "LSTM"), ("mingru", "minGRU")])
def test_the_model_card_writes_the_core_as_people_do(make_run, rrnn, model, name):
    make_run(model=model)
    assert rrnn("export", "mine", "--hub", "hub").code == 0
    card = Path("hub/README.md").read_text(encoding="utf-8")
    assert f"\n{name} language model with" in card


def test_a_folder_for_the_hub(make_run, rrnn, text, tmp_path):
    run = make_run()
    answer = rrnn("export", "mine", "--hub", tmp_path / "hub" / "mine", "--json")
    assert (answer.code, answer.err) == (0, "")
    folder = tmp_path / "hub" / "mine"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("README.md", "config.json", "config.yaml", "metrics.csv", "model.safetensors"),
        *("summary.json", "vocabulary.json"),
    ]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "RMC language model with 1,000 weights, trained on text" in card
    assert "| test | 7.50 |" in card
    for path in folder.iterdir():
        assert str(text.parent).encode() not in path.read_bytes(), path.name
    tokens = torch.tensor([[1], [2]])
    model = LanguageModel.from_pretrained(folder)
    assert torch.equal(model(tokens)[0], load_language_model(run)(tokens)[0])
    assert rrnn("generate", folder, "--words", "3").code == 0
    assert rrnn("test", folder, "--data", text).code == 0
    again = rrnn("export", "mine", "--hub", folder)
    assert (again.code, again.err) == (
        2,
        f"error: {folder}: has files already; give a new folder\n",
    )


def test_for_the_hub_each_file_is_hashed_once(make_run, rrnn, monkeypatch):
    run = make_run()
    run.save_summary(run.summary)
    hashed = []
    whole = run_digests._of_file

    def counting(path):
        hashed.append(path.name)
        return whole(path)

    with monkeypatch.context() as patched:
        patched.setattr(run_digests, "_of_file", counting)
        assert rrnn("export", "mine", "--hub", "out").code == 0
    assert hashed.count("model.safetensors") == hashed.count("metrics.csv") == 1
    assert find_run("out").changed_files() == []
