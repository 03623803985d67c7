"""Variables of a launcher that were left in the environment are named, never obeyed."""

import pytest

from relational_rnn.cli import main
from relational_rnn.errors import UserError
from relational_rnn.processes import check_launcher

VARIABLES = [
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "GROUP_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "SLURM_PROCID",
    "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_NNODES",
    "SLURM_JOB_NAME",
]


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RANK", "1"),
        ("LOCAL_RANK", "1"),
        ("WORLD_SIZE", "2"),
        ("SLURM_NTASKS", "2"),
        ("SLURM_NNODES", "2"),
        ("SLURM_PROCID", "3"),
        ("RANK", "x"),
        ("RANK", ""),
        ("RANK", "-1"),
    ],
)
@pytest.mark.parametrize(
    "words", [["train", "nth-farthest"], ["train", "nth-farthest", "--run", "x"], ["demo"]], ids=len
)
def test_a_contradiction_is_one_line(words, name, value, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {name}={value!r} in the environment: contradicts ")
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_needed_is_named(monkeypatch):
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(UserError) as error:
        check_launcher(devices=2, num_nodes=2)
    assert str(error.value) == (
        "RANK='4' in the environment: contradicts --devices 2 and --num-nodes 2, which need 0 to "
        "3; unset it, or give the numbers of the launcher"
    )


@pytest.mark.parametrize(
    ("devices", "nodes", "given"),
    [
        (1, 1, {}),
        (1, 1, {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}),
        (2, 1, {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}),
        (2, 2, {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "GROUP_RANK": "1"}),
        (2, 1, {"NODE_RANK": "0", "LOCAL_RANK": "1"}),  # as Lightning starts it
        (2, 2, {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_NNODES": "2"}),
        (1, 1, {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_NAME": "bash"}),
    ],
)
def test_what_a_launcher_sets_is_accepted(devices, nodes, given, monkeypatch):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    check_launcher(devices=devices, num_nodes=nodes)


def test_a_resumed_run_is_checked_as_well(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "x").mkdir(parents=True)
    (tmp_path / "runs" / "x" / "config.yaml").write_text("task: nth-farthest\n", encoding="utf-8")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "--resume", "x"]) == 2
    assert capsys.readouterr().err.startswith("error: WORLD_SIZE='2' in the environment")
