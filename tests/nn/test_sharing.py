"""A saved module is the same one again, and what does not fit is refused."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from relational_rnn import RelationalMemory, RelationalMemoryCell
from relational_rnn.config import LanguageModelingConfig
from relational_rnn.models.language_model import LanguageModel
from relational_rnn.nn import sharing


def saved(tmp_path: Path) -> tuple[RelationalMemory, dict[str, Any]]:
    core = RelationalMemory(
        3, 2, head_size=4, gate_style="memory", forget_bias=2.5, batch_first=True, num_layers=2
    )
    core.save_pretrained(tmp_path / "new" / "core")
    text = (tmp_path / "new" / "core" / "config.json").read_text(encoding="utf-8")
    return core, json.loads(text)


def test_a_core_with_every_argument(tmp_path: Path) -> None:
    core, config = saved(tmp_path)
    names = inspect.signature(RelationalMemory).parameters.keys()
    assert config.keys() == names - {"device", "dtype", "bidirectional"}
    again = RelationalMemory.from_pretrained(tmp_path / "new" / "core")
    inputs = torch.randn(4, 5, 3)
    assert torch.equal(again(inputs)[0], core(inputs)[0])
    assert repr(again) == repr(core)
    assert not again.training
    assert sorted(path.name for path in (tmp_path / "new" / "core").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_a_cell(tmp_path: Path) -> None:
    cell = RelationalMemoryCell(3, 2, 4, input_rows=2)
    cell.save_pretrained(tmp_path)
    again = RelationalMemoryCell.from_pretrained(str(tmp_path))
    inputs = torch.randn(5, 2, 3)
    assert torch.equal(again(inputs), cell(inputs))


@pytest.mark.parametrize("fields", [{}, {"tied": False}, {"reset": "eos"}], ids=str)
def test_a_language_model(tmp_path: Path, fields: dict[str, Any]) -> None:
    config = LanguageModelingConfig(
        data="/home/me/text", embedding_size=8, head_size=4, num_heads=2, **fields
    )
    model = LanguageModel(config, 11, 3).eval()
    model.save_pretrained(tmp_path)
    assert "/home/me" not in (tmp_path / "config.json").read_text(encoding="utf-8")
    again = LanguageModel.from_pretrained(tmp_path)
    tokens = torch.randint(11, (4, 2))
    tokens[2, 1] = 3
    assert torch.equal(again(tokens)[0], model(tokens)[0])


def test_what_does_not_fit(tmp_path: Path) -> None:
    _, config = saved(tmp_path)
    folder = tmp_path / "new" / "core"

    def load(text: str) -> None:
        (folder / "config.json").write_text(text, encoding="utf-8")
        RelationalMemory.from_pretrained(folder)

    with pytest.raises(ValueError, match="not weights of this RelationalMemory"):
        load(json.dumps({**config, "head_size": 5}))
    with pytest.raises(ValueError, match=r"(?s)not weights .*layers_above"):
        load(json.dumps({**config, "num_layers": 1}))
    with pytest.raises(ValueError, match=r"not the arguments of RelationalMemory: .* 'heads'"):
        load(json.dumps({**config, "heads": 5}))
    with pytest.raises(ValueError, match="not the arguments of RelationalMemory: num_heads must"):
        load(json.dumps({**config, "num_heads": 0}))
    with pytest.raises(ValueError, match="not the arguments of LanguageModel: 'config'"):
        LanguageModel.from_pretrained(folder)
    for broken in ("{", "[]", "3"):
        with pytest.raises(ValueError, match="not the arguments of RelationalMemory"):
            load(broken)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match="not weights of this RelationalMemory"):
        RelationalMemory.from_pretrained(folder)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such file"):
        RelationalMemory.from_pretrained(folder)


def test_a_repository_is_made_filled_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    made: dict[str, Any] = {}

    class Repository:
        repo_id = "me/core"

    class HubOfTheTest:
        def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> Repository:
            made.update(name=name, private=private)
            return Repository()

        def upload_folder(
            self, *, repo_id: str, folder_path: str, commit_message: str | None
        ) -> str:
            for path in Path(folder_path).iterdir():
                (tmp_path / path.name).write_bytes(path.read_bytes())
            return f"https://hub/{repo_id}"

    def snapshot_download(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert (name, revision) == ("me/core", "v1")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "HfApi", HubOfTheTest)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    core = RelationalMemory(3, 2, 4)
    assert core.push_to_hub("core", private=True) == "https://hub/me/core"
    assert made == {"name": "core", "private": True}
    again = RelationalMemory.from_pretrained("me/core", revision="v1")
    inputs = torch.randn(5, 4, 3)
    assert torch.equal(again(inputs)[0], core(inputs)[0])


def test_the_weights_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = RelationalMemory(3, 2, head_size=4, dtype=torch.float64)
    core.save_pretrained(tmp_path)
    read = []

    class Counting:
        def __init__(self, *arguments: Any) -> None:
            self.opened = safe_open(*arguments)

        def __enter__(self) -> Any:
            file = self.opened.__enter__()
            whole = file.get_tensor

            class File:
                keys = file.keys
                get_slice = file.get_slice

                @staticmethod
                def get_tensor(name: str) -> torch.Tensor:
                    read.append(name)
                    tensor: torch.Tensor = whole(name)
                    return tensor

            return File

        def __exit__(self, *error: object) -> None:
            self.opened.__exit__(*error)

    monkeypatch.setattr(sharing, "safe_open", Counting)
    again = RelationalMemory.from_pretrained(tmp_path)
    assert len(read) == 1  # for its dtype
    assert again.projection_weight.dtype == torch.float64
