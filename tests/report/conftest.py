"""Run folders as training leaves them."""

import json

import pytest

HEADER = (
    "step,epoch,tokens,seconds,learning_rate,train_loss,train_perplexity,"
    "valid_loss,valid_perplexity,tokens_per_s"
)
ROWS = (
    "10,0,1000,2.5,0.001,5.0,148.4,,,400.0",
    "20,1,2000,5.0,0.001,4.0,54.6,4.5,90.0,400.0",
    "30,1,3000,7.5,0.001,3.5,33.1,,,400.0",
    "40,2,4000,90.0,0.001,3.0,20.1,4.4,81.5,500.0",
)


WORSE = ("10,0,1000,2.5,0.001,5.0,148.4,,200.0,400.0", "20,1,2000,5.0,0.001,4.0,54.6,,95.0,400.0")


@pytest.fixture
def make_run(tmp_path):
    """Write the files of a run; return its folder."""

    def make(folder_name="first", *, rows=ROWS, header=HEADER, summary=True, end="\n", **config):
        folder = tmp_path / "runs" / folder_name
        folder.mkdir(parents=True)
        fields = {"task": "language-modeling", "name": folder_name, "model": "rmc"} | config
        lines = [f"{key}: {json.dumps(value)}" for key, value in fields.items()]
        (folder / "config.yaml").write_text("\n".join(lines), encoding="utf-8")
        text = "\n".join([header, *rows]) + end
        (folder / "metrics.csv").write_text(text, encoding="utf-8")
        if summary:
            results = {
                "parameters": 1_234_567,
                "valid": {"loss": 4.3, "perplexity": 80.25},
                "test": {"loss": 4.2, "perplexity": 77.123},
                "tokens_per_s": 456.7,
            }
            (folder / "summary.json").write_text(json.dumps(results), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def two_runs(make_run):
    return [
        make_run("first", learning_rate=0.001),
        make_run("se<co>&nd", rows=WORSE, summary=False, model="lstm", learning_rate=0.004),
    ]
