import os
import signal
from pathlib import Path
from pkgutil import resolve_name

import pytest

from relational_rnn.cli.demo import CONFIGS, VERDICT
from relational_rnn.config import load


def test_both_differ_in_the_core_alone():
    rmc, lstm = (load(name) for name in CONFIGS)
    core = {"name", "model", "head_size", "hidden_size"}
    assert {key for key, value in vars(rmc).items() if vars(lstm)[key] != value} <= core


def test_demo_beside_an_older_one(rrnn, text):
    older = Path("runs/demo-rmc-1/metrics.csv")
    older.parent.mkdir(parents=True)
    older.write_text("kept", encoding="utf-8")
    answer = rrnn("demo", "--data", text, "--max-steps", 1, "--json")
    assert answer.code == 0, answer.err
    rows = answer.json["runs"]
    assert [(row["run"], row["model"]) for row in rows] == [
        ("demo-rmc-2", "rmc"),
        ("demo-lstm-1", "lstm"),
    ]
    assert rows[0]["parameters"] == pytest.approx(rows[1]["parameters"], rel=0.02)
    assert all(1 < row["test"] < 100 for row in rows)
    assert answer.json["text"]
    assert Path(answer.json["picture"]).is_file()
    assert older.read_text(encoding="utf-8") == "kept"
    note = [line for line in answer.out.splitlines() if line.startswith("note: ")]
    assert note == [VERDICT]


def raise_at_once():
    raise KeyboardInterrupt


def send_signal():
    os.kill(os.getpid(), signal.SIGINT)


RMC, LSTM, REPORT = "demo-rmc-1", "demo-lstm-1", "demo-report"
REPORT_BOTH = f"both runs are complete: rrnn report {RMC} {LSTM} --output runs/{REPORT}"
MOMENTS = {
    "text": ("tasks.language_modeling.corpus:find_source", 1, "start again with: rrnn demo", []),
    "first step": (
        "models.language_model:LanguageModel.regularized_loss", 1, f"--resume {RMC}", [RMC],
    ),
    "first evaluation": ("evaluate.perplexity:token_losses", 1, f"--resume {RMC}", [RMC]),
    "between": ("cli.demo:new_run", 2, f"{RMC} is complete; start again with: rrnn demo", [RMC]),
    "second step": (
        "models.language_model:LanguageModel.regularized_loss", 4, f"--resume {LSTM}", [LSTM, RMC],
    ),
    "second evaluation": (
        "evaluate.perplexity:token_losses", 4, f"--resume {LSTM}", [LSTM, RMC],
    ),
    "report": ("report.comparison:write_report", 1, REPORT_BOTH, [LSTM, RMC]),
    "sample": ("generate:generate", 1, REPORT_BOTH, [LSTM, REPORT, RMC]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "press"),
    [
        *((moment, raise_at_once) for moment in MOMENTS),
        ("first step", send_signal),
        ("second step", send_signal),
    ],
)
def test_ctrl_c_ends_in_one_line(rrnn, text, monkeypatch, moment, press):
    target, number, message, kept = MOMENTS[moment]
    module, name = target.split(":")
    *owner, name = name.split(".")
    place = resolve_name(f"relational_rnn.{module}" + (f":{owner[0]}" if owner else ""))
    original = getattr(place, name)
    calls = 0

    def interrupted(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == number:
            press()
        return original(*arguments, **options)

    monkeypatch.setattr(place, name, interrupted)
    answer = rrnn("demo", "--data", text, "--max-steps", 3)
    assert answer.code == 130
    last = answer.out.splitlines()[-1]
    assert last.startswith("stopped and saved; " if press is send_signal else "interrupted; ")
    assert last.endswith(message)
    assert answer.out.count("interrupted; ") + answer.out.count("stopped and saved; ") == 1
    assert sorted(path.name for path in Path("runs").glob("*")) == kept
    assert not list(Path().rglob(".*.tmp"))
