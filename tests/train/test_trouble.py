"""Trouble in training: reported in one line, with nothing lost."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

SMALL = (
    *("--embedding-size", 8, "--head-size", 4, "--num-heads", 2),
    *("--batch-size", 4, "--bptt", 10, "--learning-rate", 0.01, "--output-dropout", 0.2),
)


@pytest.fixture
def start(text):
    return (
        *("train", "language-modeling", "--data", text, *SMALL, "--run", "run"),
        *("--max-steps", 20, "--validate-every", 8, "--checkpoint-every", 3, "--log-every", 5),
    )


def refused(ended, *parts):
    assert ended.code == 2, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    for part in ("error: ", *parts):
        assert part in ended.stderr


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_a_signal_saves_and_the_run_resumes_to_the_same_end(rrnn, start, tmp_path, number, code):
    other = tmp_path / "other"
    other.mkdir()
    assert rrnn(*start, cwd=other).code == 0
    ended = rrnn(*start, "--json", at=("step", 11, number))
    assert ended.code == code
    assert "rrnn train --resume run" in ended.stdout
    then = ", then evaluating; Ctrl-C again to stop now" if number == signal.SIGINT else ""
    assert ended.stderr == f"stopping after this step{then}\n"
    run = tmp_path / "runs" / "run"
    if number == signal.SIGINT:
        assert ended.json["steps"] == 11
        assert ended.json["test"]["perplexity"] > 1
    assert rrnn("train", "--resume", "run").code == 0
    again = rrnn("train", "--resume", "run", "--json")
    assert again.code == 0
    assert again.stdout.splitlines()[-2] == (
        "runs/run: finished after 20 steps; train longer with --epochs or --max-steps"
    )
    last, expected = (folder / "checkpoints" / "last.ckpt" for folder in (run, other / "runs/run"))
    for name, value in weights(expected).items():
        assert torch.equal(weights(last)[name], value), name
    rows = [
        [line.split(",")[:3] + line.split(",")[5:10] for line in path.read_text("utf-8").split()]
        for path in (run / "metrics.csv", other / "runs/run/metrics.csv")
    ]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_final_evaluation_leaves_it_to_the_resumed_run(
    rrnn, start, tmp_path, number
):
    ended = rrnn(*start, "--json", at=("evaluation", 1, number))
    assert (ended.code, ended.stderr) == (128 + number, "")
    assert ended.stdout.splitlines()[-1].endswith("rrnn train --resume run")
    assert not (tmp_path / "runs" / "run" / "summary.json").exists()
    ended = rrnn("train", "--resume", "run", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["steps"] == 20
    assert ended.json["test"]["perplexity"] > 1


def test_a_second_interrupt_stops_at_once(rrnn, start, tmp_path):
    events = (("step", 11, signal.SIGINT), ("evaluation", 1, signal.SIGINT))
    ended = rrnn(*start, at=events)
    assert ended.code == 130
    assert ended.stdout.splitlines()[-1] == (
        "stopped; kept: runs/run/checkpoints/last.ckpt of step 11; "
        "resume it with: rrnn train --resume run"
    )
    assert not (tmp_path / "runs" / "run" / "summary.json").exists()
    events = (("replacement", 2, signal.SIGINT), ("replacement", 3, signal.SIGINT))
    assert rrnn("train", "--resume", "run", at=events).code == 130


def test_a_signal_during_the_last_validation_is_not_lost(rrnn, start, tmp_path):
    ended = rrnn(*start, "--max-steps", 6, at=("validation", 1, signal.SIGTERM))
    assert ended.code == 143
    assert ended.stderr == "stopping after this step\n"
    assert not (tmp_path / "runs" / "run" / "summary.json").exists()
    assert rrnn("train", "--resume", "run").code == 0
    assert (tmp_path / "runs" / "run" / "summary.json").exists()


def test_a_signal_before_any_validation_leaves_a_model_to_use(rrnn, start, tmp_path):
    assert rrnn(*start, at=("step", 2, signal.SIGINT)).code == 130
    assert (tmp_path / "runs" / "run" / "model.safetensors").exists()


def test_the_loss_is_not_finite(rrnn, start, tmp_path):
    trouble = ("--optimizer", "sgd", "--learning-rate", "1e18", "--clip", "null")
    ended = rrnn(*start, *trouble, "--warmup-steps", 8)
    refused(ended, "of step 2", "is not finite", "nothing was saved yet")


def test_the_loss_is_not_finite_after_a_checkpoint(rrnn, start, text, tmp_path):
    assert rrnn(*start, "--max-steps", 6).code == 0
    last = tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content["state_dict"]["model.head.bias"] += float("inf")
    torch.save(content, last)
    before = last.read_bytes()
    ended = rrnn("train", "--resume", "run", "--max-steps", 12)
    refused(
        ended,
        "the loss or the gradient of step 7 is not finite",
        str(Path("checkpoints/last.ckpt")),
    )
    assert last.read_bytes() == before


@pytest.mark.parametrize(
    "count", [pytest.param(6, id="a checkpoint"), pytest.param(10, id="metrics")]
)
def test_the_disk_is_full(rrnn, start, tmp_path, count):
    other = tmp_path / "other"
    other.mkdir()
    assert rrnn(*start, "--max-steps", 1, cwd=other).code == 0  # its text is prepared once
    ended = rrnn(*start, at=("sync", count, "ENOSPC"))
    refused(ended, "the disk is full")
    last = tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt"
    assert all(value.isfinite().all() for value in weights(last).values())
    assert not list((tmp_path / "runs").rglob("*.tmp"))
    assert rrnn("train", "--resume", "run").code == 0


def test_the_run_exists(rrnn, start, tmp_path):
    assert rrnn(*start, "--max-steps", 3).code == 0
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refused(rrnn(*start), "runs/run: exists already", "rrnn train --resume run")
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kept", [0, 100, 20_000])
def test_a_truncated_checkpoint(rrnn, start, tmp_path, kept):
    assert rrnn(*start, "--max-steps", 3).code == 0
    last = tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt"
    last.unlink()  # it may share its file with best.ckpt
    last.write_bytes((last.parent / "best.ckpt").read_bytes()[:kept])
    refused(rrnn("train", "--resume", "run"), "last.ckpt: truncated", "best.ckpt")


def test_a_checkpoint_that_holds_more_than_plain_types(rrnn, start, tmp_path):
    assert rrnn(*start, "--max-steps", 3).code == 0
    last = tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt"
    torch.save({"origin": {}, "model": torch.nn.Linear(2, 2)}, last)
    refused(rrnn("train", "--resume", "run"), "not a checkpoint of this package")


def test_a_checkpoint_of_another_model(rrnn, start, tmp_path):
    assert rrnn(*start, "--max-steps", 3).code == 0
    assert rrnn(*start, "--max-steps", 3, "--head-size", 5, "--run", "wide").code == 0
    runs = tmp_path / "runs"
    content = (runs / "wide/checkpoints/last.ckpt").read_bytes()
    (runs / "run/checkpoints/last.ckpt").write_bytes(content)
    refused(
        rrnn("train", "--resume", "run"), "belongs to another model: its head_size is 5", "is 4"
    )


def test_another_vocabulary(rrnn, start, text, tmp_path):
    assert rrnn(*start, "--max-steps", 3).code == 0
    for split in ("train", "valid", "test"):
        words = (text / f"{split}.txt").read_text("utf-8").replace("w1", "v1")
        (tmp_path / f"{split}.txt").write_text(words, "utf-8")
    refused(rrnn("train", "--resume", "run", "--data", tmp_path), "has another vocabulary")
    assert rrnn(*start, "--max-steps", 3, "--data", tmp_path, "--run", "other").code == 0
    runs = tmp_path / "runs"
    content = (runs / "other/checkpoints/last.ckpt").read_bytes()
    (runs / "run/checkpoints/last.ckpt").write_bytes(content)
    refused(rrnn("train", "--resume", "run"), "last.ckpt: has another vocabulary")


def test_weights_that_do_not_fit(rrnn, start, tmp_path):
    assert rrnn(*start, "--max-steps", 3).code == 0
    run = tmp_path / "runs" / "run"
    (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:500])
    refused(rrnn("test", "run"), "model.safetensors: broken")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        pytest.param(["--mem-slot", 3], ["--mem-slot: unknown", "--mem-slots"], id="option"),
        pytest.param(["--mem-slots", 0], ["mem_slots: must be at least 1, got 0"], id="range"),
        pytest.param(["--data", "nowhere"], ["nowhere"], id="data"),
        pytest.param(["--batch-size", 2000], ["batch_size 2000"], id="short"),
        pytest.param(
            ["--head", "adaptive", "--cutoffs", 5, 5000], ["cutoffs", "5000"], id="cutoffs"
        ),
        pytest.param(
            ["--head-size", 2**16, "--num-heads", 1024], ["does not fit into memory"], id="huge"
        ),
        pytest.param(
            ["--embedding-size", 2**62], ["embedding_size: must be at most 65,536"], id="huger"
        ),
        pytest.param(["--backend", "warp"], ["backend", "warp"], id="backend"),
        pytest.param(["--device", "cuda"], ["no cuda"], id="device"),
    ],
)
def test_bad_options(rrnn, start, tmp_path, words, parts):
    refused(rrnn(*start, *words), *parts)
    assert not list((tmp_path / "runs").rglob("*.*"))


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        pytest.param(["train"], ["no configuration, task or --resume"], id="nothing"),
        pytest.param(["train", "--resume", "none"], ["none: no such run"], id="no run"),
        pytest.param(["train", "--resume", "run", "--bptt", 3], ["bptt: cannot be"], id="field"),
        pytest.param(["train", "wikitext2-rmc", "--resume", "run"], ["leave"], id="config"),
        pytest.param(["train", "--resume", "empty"], ["it has no config.yaml"], id="empty"),
    ],
)
def test_bad_resumption(rrnn, start, tmp_path, words, parts):
    assert rrnn(*start, "--max-steps", 3).code == 0
    (tmp_path / "runs" / "empty").mkdir()
    refused(rrnn(*words), *parts)


def test_a_real_process_killed_from_outside(rrnn, start, tmp_path):
    """Started as users start it, and killed from outside after its first checkpoint."""
    words = [str(word) for word in (*start, "--max-steps", 100_000)]
    process = subprocess.Popen([sys.executable, "-m", "relational_rnn", *words], cwd=tmp_path)
    last = tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt"
    while not last.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    step = torch.load(last, weights_only=True)["global_step"]
    ended = rrnn("train", "--resume", "run", "--max-steps", step, "--json")
    assert ended.code == 0
    assert ended.json["steps"] >= 3


def test_a_gradient_whose_norm_is_infinite(rrnn):
    # Clipped by it, all gradients would be zero, and nothing would be learned.
    sizes = ("--objects", 3, "--features", 2, "--batch-size", 4, "--valid-examples", 8)
    ended = rrnn("train", "nth-farthest", "--auxiliary", "1e18", *sizes, "--max-steps", 3)
    refused(ended, "the loss or the gradient of step 1 is not finite", "nothing was saved yet")
