import json
from contextlib import nullcontext
from dataclasses import replace

import pytest

from relational_rnn.bench import report, scale
from relational_rnn.bench.cases import MODELS, PAPER
from relational_rnn.bench.scale import LargeTraining
from relational_rnn.bench.timing import Stop
from relational_rnn.cli import main

TWICE = Stop(seconds=0, least=2, most=2)


@pytest.fixture
def small(tiny):
    """The model with each head, at sizes that take no time."""

    def make(**overrides):
        return {
            f"{head} softmax": replace(
                tiny(
                    "rmc fused bfloat16",
                    batch_size=12,
                    attention_mlp_layers=2,
                    head=head,
                    **overrides,
                ),
                config_name=PAPER,
            )
            for head in ("full", "adaptive")
        }

    return make


def test_the_papers_model():
    for head, case in scale.CASES.items():
        config = case.config(MODELS)
        assert (config.name, case.vocabulary_size) == ("wikitext103-rmc-paper", 267_735)
        assert (config.batch_size, config.bptt, config.embedding_size) == (384, 100, 512)
        assert config.num_heads * config.head_size == 2_500
        assert config.attention_mlp_layers == 5
        assert head.startswith(config.head)
        assert all(config.batch_size % streams == 0 for streams in scale.MICRO_BATCHES)


def test_measured(small, tmp_path):
    told = []
    result = scale.MEASUREMENT.run(
        cases=small(), micro_batches=(1, 2, 5), devices=(1, 3), stop=TWICE, progress=told.append
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert [(row["row"], row["kind"], row.get("streams")) for row in result["rows"]] == [
        ("full softmax", "model", None),
        *(("full softmax", "micro-batch", streams) for streams in (1, 2, 5)),
        ("adaptive softmax", "model", None),
        *(("adaptive softmax", "micro-batch", streams) for streams in (1, 2, 5)),
        ("full softmax", "step", 12),
    ]
    model, part, *_, step = result["rows"]
    assert model["weights_bytes"] == model["gradients_bytes"] == 4 * model["parameters"]
    assert model["optimizer_bytes"] == 2 * model["weights_bytes"]
    low, high = model["update_spread_s"]
    assert 0 < low <= model["update_s"] <= high
    assert part["forward_backward_samples"] == 2
    assert part["tokens_per_s"] == pytest.approx(3 / part["forward_backward_s"])
    assert step["micro_batch"] == 2  # five do not divide twelve
    assert step["tokens_per_s"] == pytest.approx(36 / step["seconds"])
    assert step["process_mb"] > step["peak_mb"]
    assert "derived" not in str(result["rows"])
    for rows in result["derived"].values():
        assert rows
        assert all(row["derived"] is True for row in rows)
    assert told[0] == "full softmax: check"
    assert told[-1] == "full softmax: a whole step, 12 streams, 2 at a time"
    paths = report.save(result, tmp_path, "scale", command="rrnn bench --scale")
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    text = paths[1].read_text(encoding="utf-8")
    assert "| derived, not measured | devices |" in text
    assert "| adaptive softmax | 3 | 4 |" in text


def test_whole_step_is_that_of_training_in_micro_batches(small):
    case = small(micro_batch_size=3)["full softmax"]
    calls = []

    subject = LargeTraining(case)
    training = subject.training
    right = type(training).backward

    def counted(self, tokens, *arguments, **options):
        calls.append(tuple(tokens.shape))
        return right(self, tokens, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(training), "backward", counted)
        answer = subject.whole_step()
    assert calls == [(1, 3)] * 4 + [(3, 3)] * 4
    assert set(answer) == {"seconds", "peak_mb", "process_mb"}


def test_what_fails_is_a_row(small):
    case = small(cutoffs=[1, 30])["adaptive softmax"]
    result = scale.MEASUREMENT.run(cases={"beyond": case}, micro_batches=(1, 2), stop=TWICE)
    assert [row["kind"] for row in result["rows"]] == ["model", "step"]
    assert "got [1, 30]" in result["rows"][0]["error"]
    assert result["derived"] == {"fits": [], "whole_steps": [], "devices": []}
    assert "no micro-batch" in report.as_markdown(result, "rrnn bench --scale")
    assert report.draw(result) is not None


def test_a_micro_batch_that_fails_is_left_out_of_the_line(small, monkeypatch):
    class Broken(nullcontext):
        def __init__(self, kind, case):
            super().__init__(self)
            self.target = kind(case)

        def call(self, method, *arguments):
            if arguments == (2,):
                raise scale.WorkerError("too large")
            return getattr(self.target, method)(*arguments)

    monkeypatch.setattr(scale, "Worker", Broken)
    cases = {"full softmax": small()["full softmax"]}
    result = scale.MEASUREMENT.run(cases=cases, micro_batches=(1, 2), stop=TWICE)
    assert result["rows"][2] == {
        "row": "full softmax",
        "kind": "micro-batch",
        "streams": 2,
        "error": "WorkerError: too large",
    }
    assert result["rows"][3]["micro_batch"] == 1
    assert result["derived"]["fits"] == []
    assert "derived" not in scale.note(result).lower()


SIZES = {"weights_bytes": 100e6, "gradients_bytes": 100e6, "optimizer_bytes": 200e6}
FIT = {"mb_per_stream": 10.0, "constant_mb": 50.0}


def test_fit_line():
    fit = scale.fit_line([(4, 90.0), (8, 130.0), (16, 210.0)])
    assert fit["mb_per_stream"] == pytest.approx(10)
    assert fit["constant_mb"] == pytest.approx(50)
    assert fit["largest_error_mb"] == pytest.approx(0, abs=1e-9)
    assert scale.fit_line([(1, 0.0), (2, 3.0), (3, 0.0)])["largest_error_mb"] == pytest.approx(2)


def test_memory_of_devices():
    one = scale.memory_on_devices(SIZES, FIT, 1, 384)
    assert one["total_mb"] == 400 + 3840 + 50
    assert one["all_reduce_bytes"] == one["buckets_mb"] == 0
    eight = scale.memory_on_devices(SIZES, FIT, 8, 384)
    assert eight["streams"] == 48
    assert eight["total_mb"] == 400 + 100 + 480 + 50
    assert eight["all_reduce_bytes"] == 100e6
    assert scale.whole_step_peak(SIZES, FIT, 32) == 100 + 50 + 320


ROWS = [
    {"row": "full", "kind": "model", "parameters": 25_000_000, **SIZES, "update_s": 2.0}
    | {"update_spread_s": [1.9, 2.1]},
    *(
        {"row": "full", "kind": "micro-batch", "streams": streams, "peak_mb": 50.0 + 10 * streams}
        | {"forward_backward_s": 1.0, "forward_backward_spread_s": [0.9, 1.1], "tokens_per_s": 9.0}
        for streams in (4, 8)
    ),
    {"row": "full", "kind": "step", "streams": 384, "micro_batch": 8, "seconds": 151.25}
    | {"peak_mb": 235.0, "process_mb": 1_000.0, "tokens_per_s": 254.0},
]
MACHINE = {
    "processor": "A Processor",
    "cores": 2,
    "threads": 2,
    "device": "cpu",
    "load_average": None,
    "versions": {"python": "3.11"},
    "commit": None,
    "dirty": None,
    "time": "2026-01-01T00:00:00+00:00",
}
ABOUT = {"config": "large", "vocabulary": 267_735, "batch_size": 384, "bptt": 100}
RESULT = {
    "machine": MACHINE,
    "scale": {**ABOUT, "optimizer": "adam", "dtype": "bfloat16"},
    "rows": ROWS,
    "derived": scale.derive(ROWS, devices=(1, 8), batch_size=384),
}


def test_tables_say_what_is_derived():
    text = report.as_markdown(RESULT, "rrnn bench --scale")
    tables = text.split("\n\n")
    assert "| full | 25,000,000 | 100 | 100 | 200 | 2 ±5% |" in tables[0]
    assert "| full | 4 | 1 ±10% | 9 | 90 |" in tables[1]
    assert "| full | 384 | 8 | 151.2 | 254 | 235 | 230 | 1,000 |" in tables[2]
    assert tables[3].startswith("| derived, not measured | devices |")
    assert "| full | 8 | 48 | 400 | 100 | 480 | 50 | 1,030 | 100 |" in tables[3]
    assert "peak, derived, MB" in tables[2]
    assert "Derived, not measured: the line through the peaks, full 10.0 MB a stream" in text


def test_command(fake_measure, tmp_path):
    fake_measure("scale", lambda progress: RESULT)
    assert main(["bench", "--scale", "--output", str(tmp_path)]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["scale.json", "scale.md", "scale.png"]


def test_one_measurement_at_a_time(capsys):
    assert main(["bench", "--scale", "--corpus"]) == 2
    assert "--scale --corpus: only one measurement at a time" in capsys.readouterr().err
