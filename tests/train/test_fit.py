"""What training makes of the machine that it finds."""

from importlib import import_module

import pytest

from relational_rnn.cli import main
from relational_rnn.runs import Run

fit = import_module("relational_rnn.train.fit")  # the package has a function of this name
SMALL = ("--embedding-size", "8", "--head-size", "4", "--num-heads", "2", "--hidden-size", "8")


@pytest.mark.parametrize("model", ["rmc", "lstm"])
def test_a_processor_without_bfloat16_takes_float32(
    text, environment, tmp_path, model, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRNN_CACHE", environment["RRNN_CACHE"])
    monkeypatch.setattr(fit, "multiplies_bfloat16", lambda device: False)
    start = ("train", "language-modeling", "--data", str(text), *SMALL, "--model", model)
    remarks, summaries = [], []
    for precision in ("32", "bf16-mixed"):
        run = f"precision-{precision}"
        assert main([*start, "--max-steps", "2", "--precision", precision, "--run", run]) == 0
        remark = "precision: float32, because this CPU has no bfloat16 products"
        remarks.append(remark in capsys.readouterr().out)
        summaries.append(Run(tmp_path / "runs" / run).summary)
    assert remarks == [False, True]
    assert [summary["precision"] for summary in summaries] == ["32-true", "32-true"]
    assert summaries[0]["test"] == summaries[1]["test"]
