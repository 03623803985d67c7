"""Weights in files: damage of any kind is found when they are read."""

import os
import random
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from relational_rnn.errors import UserError
from relational_rnn.weights import (
    load_checkpoint,
    load_weights,
    read_checkpoint,
    save_checkpoint_weights,
    save_weights,
)


def model():
    return nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7))


@pytest.fixture
def folder(tmp_path):
    """A run's files with weights: a best and a last checkpoint, and the best weights."""
    torch.manual_seed(0)
    trained = model()
    (tmp_path / "checkpoints").mkdir()
    weights = {f"model.{name}": value for name, value in trained.state_dict().items()}
    for name in ("best.ckpt", "last.ckpt"):
        torch.save({"state_dict": weights}, tmp_path / "checkpoints" / name)
    save_weights(trained, tmp_path / "model.safetensors")
    return tmp_path


FILES = [
    pytest.param(load_weights, "model.safetensors", id="weights"),
    pytest.param(load_checkpoint, "checkpoints/last.ckpt", id="checkpoint"),
]


@pytest.mark.parametrize(("read", "name"), FILES)
def test_a_flipped_bit_is_never_taken(folder, read, name):
    path, expected = folder / name, model()
    read(expected, path)
    good = path.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(300):
        bad = bytearray(good)
        bad[draw.randrange(len(bad))] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        found = model()
        message = ""
        try:
            read(found, path)
        except UserError as error:
            message = str(error)
        refused += bool(message)
        assert "\n" not in message
        assert message.startswith(f"{path}: ") or all(
            torch.equal(value, found.state_dict()[key])
            for key, value in expected.state_dict().items()
        )
    assert refused > 50


def test_what_can_be_used_instead_is_named(folder):
    last, best = folder / "checkpoints/last.ckpt", folder / "checkpoints/best.ckpt"
    weights = folder / "model.safetensors"
    load_weights(expected := model(), weights)
    value = expected[0].weight.detach().numpy().tobytes()
    for path in (last, weights):
        content = bytearray(path.read_bytes())
        content[content.index(value)] ^= 1
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"last\.ckpt: .*; copy .*best\.ckpt to this name"):
        read_checkpoint(last)
    with pytest.raises(UserError, match=r"model\.safetensors: .*; remove it to use .*best\.ckpt"):
        load_weights(model(), weights)
    best.unlink()
    os.link(last, best)  # one file: damaged under both names
    with pytest.raises(UserError, match=r"last\.ckpt: .*best weights in .*model\.safetensors"):
        read_checkpoint(last)


def test_weights_without_a_digest_are_read(folder):
    path = folder / "model.safetensors"
    with safe_open(path, "pt") as file:
        assert len(file.metadata()["sha256"]) == 64
    save_file(load_file(path), path)
    load_weights(model(), path)


def test_lower_precision_and_scalars_have_a_digest_too(folder):
    load_weights(trained := model(), folder / "model.safetensors")
    save_weights(trained.bfloat16(), folder / "half.safetensors")
    load_weights(found := model(), folder / "half.safetensors")
    assert torch.equal(found[0].weight, trained[0].weight.float())


def test_weights_of_a_checkpoint_are_the_same_file(folder):
    saved = read_checkpoint(folder / "checkpoints/best.ckpt")
    save_checkpoint_weights(saved, model(), folder / "again.safetensors")
    again = (folder / "again.safetensors").read_bytes()
    assert again == (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("read", "name"), FILES)
def test_weights_that_are_not_finite(folder, read, name, value):
    trained = model()
    with torch.no_grad():
        trained[0].weight[2, 3] = value
    weights = {f"model.{key}": part for key, part in trained.state_dict().items()}
    torch.save({"state_dict": weights}, folder / "checkpoints/last.ckpt")
    save_weights(trained, folder / "model.safetensors")
    with pytest.raises(UserError, match=rf"{name}: holds NaN or infinity \(in 0\.weight\)"):
        read(model(), folder / name)


@pytest.mark.parametrize(("read", "name"), FILES)
def test_a_file_that_cannot_be_read(folder, read, name, monkeypatch):
    with pytest.raises(UserError, match=r"nothing: cannot be read: No such file or directory$"):
        read(model(), folder / "nothing")
    path = folder / name
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=rf"{name}: cannot be read: Is a directory$"):
        read(model(), path)
    shutil.rmtree(path)
