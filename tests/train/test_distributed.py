"""Two processes: equal to one, and resumed to the same bits."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.distributed

SMALL = (
    *("--embedding-size", 8, "--head-size", 4, "--num-heads", 2, "--mem-slots", 2),
    *("--batch-size", 4, "--bptt", 10, "--learning-rate", 0.01, "--run", "run"),
)


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", encoding="utf-8", newline="") as file:
        return [
            {
                name: value
                for name, value in row.items()
                if name not in ("seconds", "cpu_seconds", "tokens_per_s")
            }
            for row in csv.DictReader(file)
        ]


def checkpoint(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


def test_two_processes_equal_one(command, several, text, tmp_path):
    start = ("train", "language-modeling", "--data", text, *SMALL)
    steps = ("--max-steps", 50, "--log-every", 10, "--validate-every", 25, "--random-offset")
    runs = []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        ended = (several if devices > 1 else command)(
            *start, *steps, "--devices", devices, "--json", cwd=folder
        )
        assert ended.code == 0, ended.stderr
        assert ended.stdout.count("valid perplexity") == 3, "said by one process alone"
        runs.append(folder / "runs" / "run")
    for one, two in zip(*map(rows, runs), strict=True):
        for name in ("train_loss", "valid_loss"):
            assert bool(one[name]) == bool(two[name])
            if one[name]:
                assert float(two[name]) == pytest.approx(float(one[name]), abs=1e-4)
        assert one["tokens"] == two["tokens"]
    memories = [checkpoint(run)["memory"][0] for run in runs]
    torch.testing.assert_close(memories[1], memories[0], atol=1e-3, rtol=1e-3)
    # Resume with another number of processes: the streams are distributed again.
    ended = command(
        *("train", "--resume", "run", "--devices", 1, "--max-steps", 60, "--json"),
        cwd=tmp_path / "2",
    )
    assert ended.code == 0, ended.stderr
    assert ended.json["steps"] == 60


def test_killed_and_resumed(command, text, tmp_path):
    start = (
        *("train", "language-modeling", "--data", text, *SMALL, "--devices", 2),
        *("--max-steps", 20, "--validate-every", 9, "--checkpoint-every", 4, "--log-every", 6),
        *("--embedding-dropout", 0.2, "--output-dropout", 0.2, "--reset-probability", 0.2),
        *("--averaging", "ema", "--random-bptt", "--random-offset"),
    )
    runs = []
    for name in ("killed", "reference"):
        folder = tmp_path / name
        folder.mkdir()
        at = ("step", 15, signal.SIGKILL) if name == "killed" else None
        ended = command(*start, cwd=folder, at=at, processes=2)
        assert ended.code == (-signal.SIGKILL if at else 0), ended.stderr
        runs.append(folder / "runs" / "run")
    ended = command("train", "--resume", "run", cwd=tmp_path / "killed", processes=2)
    assert ended.code == 0, ended.stderr
    assert rows(runs[0]) == rows(runs[1])
    one, two = map(checkpoint, runs)
    for name, value in two["state_dict"].items():
        assert torch.equal(one["state_dict"][name], value), name
    for name in ("memory", "generators"):
        assert str(one[name]) == str(two[name])
    assert len(one["generators"]) == 2
    weights = [(run / "model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_trouble_in_one_process_ends_both_with_one_line(several, text, tmp_path):
    start = ("train", "language-modeling", "--data", text, *SMALL, "--devices", 2)
    ended = several(*start, "--max-steps", 20, cwd=tmp_path, at=("sync", 6, "ENOSPC"))
    assert ended.code == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "the disk is full" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["first", "second"])
def test_the_survivor_of_two_processes_ends_with_one_line(environment, text, tmp_path, killed):
    words = ["train", "language-modeling", "--data", text, *SMALL, "--devices", 2]
    words += ["--max-steps", 1_000_000, "--checkpoint-every", 5]
    first = subprocess.Popen(
        [sys.executable, "-m", "relational_rnn", *map(str, words)],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "runs/run/checkpoints/last.ckpt").exists():
        assert first.poll() is None
        time.sleep(0.05)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text("utf-8").split()
    os.kill(first.pid if killed == "first" else int(children[0]), signal.SIGKILL)
    _, stderr = first.communicate()  # until the survivor has closed it too
    assert stderr == (
        "error: runs/run: another process of this training has ended; "
        "resume it with: rrnn train --resume run\n"
    )
    assert first.returncode == (-signal.SIGKILL if killed == "first" else 2)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
def test_two_machines(environment, text, tmp_path):
    """Two processes that only know where the first listens, started apart as on two machines."""
    words = [sys.executable, "-m", "relational_rnn", "train", "language-modeling", "--data", text]
    words += [*SMALL, "--num-nodes", 2, "--max-steps", 6, "--json"]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "LOCAL_RANK": "0"}
    processes = [
        subprocess.Popen(
            [str(word) for word in words],
            cwd=tmp_path,
            env={**environment, **meeting, "NODE_RANK": str(node), "WORLD_SIZE": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in range(2)
    ]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert '"steps": 6' in outputs[0][0]
    assert outputs[1] == ("", "")
    assert len(checkpoint(tmp_path / "runs" / "run")["generators"]) == 2
    assert os.listdir(tmp_path / "runs") == ["run"]


@pytest.mark.slow
def test_two_nodes_of_torchrun(environment, command, text, tmp_path):
    """torchrun started twice, as on two machines: equal to one process, also once resumed."""
    start = ("train", "language-modeling", "--data", text, *SMALL, "--max-steps", 30)
    often = ("--log-every", 10, "--validate-every", 25, "--json")
    folders = one, two = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    assert command(*start, *often, cwd=one).code == 0
    resumed = ("train", "--resume", "run", "--max-steps", 50, "--json")
    assert command(*resumed, cwd=one).code == 0
    for arguments in ((*start, *often), resumed):
        endpoint = f"localhost:{free_port()}"
        processes = []
        for node in range(2):
            words = [sys.executable, "-m", "torch.distributed.run", "--nnodes", 2]
            words += ["--node-rank", node, "--nproc-per-node", 1, "--rdzv-endpoint", endpoint]
            words += ["-m", "--", "relational_rnn", *arguments, "--num-nodes", 2, "--devices", 1]
            processes.append(
                subprocess.Popen(
                    [str(word) for word in words],
                    cwd=two,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        outputs = [process.communicate() for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        assert outputs[1][0] == "", "said by one process alone"
    runs = [folder / "runs" / "run" for folder in folders]
    for expected, found in zip(*map(rows, runs), strict=True):
        assert found["step"] == expected["step"]
        for name in ("train_loss", "valid_loss"):
            assert bool(found[name]) == bool(expected[name])
            if expected[name]:
                assert float(found[name]) == pytest.approx(float(expected[name]), abs=1e-4)
    memories = [checkpoint(run)["memory"][0] for run in runs]
    torch.testing.assert_close(memories[1], memories[0], atol=1e-3, rtol=1e-3)
    assert len(checkpoint(runs[1])["generators"]) == 2
