"""Files of a run that are lost: restored from what is left, or refused; never silently replaced."""

import shutil

import pytest
import torch

SMALL = (
    *("--embedding-size", 8, "--head-size", 4, "--num-heads", 2, "--batch-size", 4, "--bptt", 10),
    # A rate that only makes the loss worse: of steps 3, 6 and 9, the third is the best.
    *("--learning-rate", 1, "--max-steps", 9, "--validate-every", 3),
)


@pytest.fixture(scope="module")
def finished(command, text, tmp_path_factory):
    """A folder with a finished run whose best step is not its last."""
    folder = tmp_path_factory.mktemp("finished")
    ended = command(
        "train", "language-modeling", "--data", text, *SMALL, "--run", "run", cwd=folder
    )
    assert ended.code == 0, ended.stderr
    last = torch.load(folder / "runs/run/checkpoints/last.ckpt", weights_only=True)
    assert last["callbacks"]["Loop"]["best_step"] == 3
    assert last["global_step"] == 9
    return folder / "runs" / "run"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it in ``runs/run`` of the test's folder."""
    return shutil.copytree(finished, tmp_path / "runs" / "run")


def file_contents(run):
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def refused(ended, *parts):
    assert ended.code == 2, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    for part in ("error: ", *parts):
        assert part in ended.stderr


@pytest.mark.parametrize("steps", [pytest.param(9, id="finished"), pytest.param(12, id="extended")])
def test_best_weights_come_back_from_the_best_checkpoint(rrnn, run, steps):
    before = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").unlink()
    tested = rrnn("test", "run")
    assert tested.code == 0, tested.stderr
    ended = rrnn("train", "--resume", "run", "--max-steps", steps)
    assert ended.code == 0, ended.stderr
    assert (run / "model.safetensors").read_bytes() == before
    assert rrnn("test", "run").stdout == tested.stdout


def test_best_weights_removed_while_it_trains(rrnn, run, tmp_path):
    before = (run / "model.safetensors").read_bytes()
    events = ("evaluation", 1, "ENOENT")  # reaches the end of training, then fails
    ended = rrnn("train", "--resume", "run", "--max-steps", 12, at=events)
    assert ended.code != 0
    (run / "model.safetensors").unlink()
    assert rrnn("train", "--resume", "run").code == 0
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("other", [False, True], ids=["none", "of another step"])
def test_best_weights_without_their_checkpoint_are_refused(rrnn, run, other):
    (run / "model.safetensors").unlink()
    (run / "checkpoints/best.ckpt").unlink()
    refused(rrnn("test", "run"), "last.ckpt: has the weights of step 9", "best ones of step 3")
    if other:
        shutil.copy(run / "checkpoints/last.ckpt", run / "checkpoints/best.ckpt")
    before = file_contents(run)
    ended = rrnn("train", "--resume", "run", "--max-steps", 12)
    refused(ended, "model.safetensors: not found, and it cannot be restored", "best.ckpt")
    assert file_contents(run) == before


@pytest.mark.parametrize(
    ("lost", "parts"),
    [
        pytest.param([], ["copy runs/run/checkpoints/best.ckpt to this name"], id="best is there"),
        pytest.param(["checkpoints/best.ckpt"], ["model.safetensors would be"], id="weights are"),
        pytest.param(
            ["checkpoints/best.ckpt", "model.safetensors"], ["summary.json"], id="summary is"
        ),
    ],
)
def test_a_lost_last_checkpoint_is_refused(rrnn, run, lost, parts):
    for name in ("checkpoints/last.ckpt", *lost):
        (run / name).unlink()
    before = file_contents(run)
    refused(rrnn("train", "--resume", "run"), "last.ckpt: not found", *parts)
    assert file_contents(run) == before


def test_the_best_checkpoint_can_stand_in_for_the_last(rrnn, run):
    weights, rows = (
        (run / "model.safetensors").read_bytes(),
        (run / "metrics.csv").read_text("utf-8"),
    )
    shutil.copy(run / "checkpoints/best.ckpt", run / "checkpoints/last.ckpt")
    ended = rrnn("train", "--resume", "run", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["steps"] == 9
    assert (run / "model.safetensors").read_bytes() == weights
    again = (run / "metrics.csv").read_text("utf-8")
    assert [line.split(",")[:3] for line in again.split()] == [
        line.split(",")[:3] for line in rows.split()
    ]


@pytest.mark.parametrize("replaced", [5, 6, 7], ids=["last", "best", "weights"])
def test_killed_while_the_first_checkpoint_is_saved(rrnn, text, run, tmp_path, replaced):
    """Replaced are config, vocabulary, text, metrics; last, best and weights of step 3."""
    start = ("train", "language-modeling", "--data", text, *SMALL, "--run", "other")
    assert rrnn(*start, at=("replacement", replaced, 9)).code == -9
    assert rrnn("train", "--resume", "other").code == 0
    other = tmp_path / "runs" / "other"
    assert (other / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_a_checkpoint_with_a_flipped_bit(rrnn, run):
    last = run / "checkpoints/last.ckpt"
    value = torch.load(last, weights_only=True)["state_dict"]["model.embedding.weight"]
    content = bytearray(last.read_bytes())
    content[content.index(value.numpy().tobytes()) + 5] ^= 4
    last.write_bytes(content)
    before = file_contents(run)
    refused(rrnn("train", "--resume", "run"), "last.ckpt: truncated, damaged", "copy runs/run/")
    assert file_contents(run) == before


def test_best_weights_do_not_come_back_from_another_best_checkpoint(rrnn, run):
    """It is a valid checkpoint, of the right step, but not the one that the run has left."""
    best = run / "checkpoints/best.ckpt"
    content = torch.load(best, weights_only=True)
    content["state_dict"]["model.embedding.weight"] += 1
    torch.save(content, best)
    (run / "model.safetensors").unlink()
    before = file_contents(run)
    ended = rrnn("train", "--resume", "run", "--max-steps", 12)
    refused(ended, "model.safetensors: not found", "best.ckpt has changed since the run ended")
    assert file_contents(run) == before
