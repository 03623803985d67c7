"""Save a module with its arguments, load it again, share it on the Hugging Face hub.

The files are those of huggingface_hub's `PyTorchModelHubMixin`: config.json and model.safetensors.
The mixin itself is not used: it silently loads weights that do not fit (``strict=False``), and
adds 0.2 s to the import of this package.
"""

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

CONFIG, WEIGHTS = "config.json", "model.safetensors"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Shareable(nn.Module):
    """A module that can be saved with its arguments. Subclasses define `arguments`."""

    def arguments(self) -> dict[str, Any]:
        """The arguments that make a module like this one, as plain values."""
        raise NotImplementedError

    def arguments_as_json(self) -> str:
        """The content of config.json."""
        return json.dumps(self.arguments(), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> Self:
        """A new module from what `arguments` gave."""
        return cls(**arguments)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json, with the arguments, and model.safetensors.

        Args:
            folder: made if need be.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(self.arguments_as_json(), encoding="utf-8")
        save_model(self, str(folder / WEIGHTS))

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None) -> Self:
        """The module that `save_pretrained` or `push_to_hub` saved, in evaluation mode, on the CPU.

        Args:
            name: a folder, or a repository of the hub, ``"user/model"``, which is downloaded.
            revision: branch, tag or commit of the repository; default: its main branch.

        Raises:
            OSError: the folder lacks a file, or the repository cannot be downloaded.
            ValueError: the arguments or the weights do not fit this class.
        """
        folder = Path(name)
        if not folder.is_dir():
            if not REPOSITORY.fullmatch(str(name)):
                raise FileNotFoundError(f"{name}: no such folder, nor a name like user/model")
            from huggingface_hub import snapshot_download  # slow to import

            found = snapshot_download(
                str(name), revision=revision, allow_patterns=[CONFIG, WEIGHTS]
            )
            folder = Path(found)
        config = folder / CONFIG
        try:
            arguments = json.loads(config.read_text(encoding="utf-8"))
            if not isinstance(arguments, dict) or {"device", "dtype"} & arguments.keys():
                raise ValueError("it must be an object without device and dtype")
            module = cls.from_arguments(arguments)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:  # also of memory, or depth
            raise ValueError(f"{config}: not the arguments of {cls.__name__}: {error}") from error
        weights = folder / WEIGHTS
        if not weights.is_file():
            raise FileNotFoundError(f"{weights}: no such file")
        try:
            with safe_open(str(weights), "pt") as file:
                kinds = {file.get_slice(name).get_dtype(): name for name in file.keys()}  # noqa: SIM118
                if len(kinds) == 1:  # then one tensor shows which one it is
                    module.to(file.get_tensor(*kinds.values()).dtype)
            load_model(module, str(weights), strict=True)
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(f"{weights}: not weights of this {cls.__name__}: {error}") from error
        return module.eval()

    def push_to_hub(self, name: str, *, private: bool = False, message: str | None = None) -> str:
        """Save into a repository of the Hugging Face hub, which is made if need be.

        Args:
            name: of the repository, ``"user/model"``.
            private: whether a new repository is.
            message: of the commit.

        Returns:
            The address of the commit.
        """
        from huggingface_hub import HfApi

        api = HfApi()
        name = api.create_repo(name, private=private, exist_ok=True).repo_id
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            done = api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        return str(done)
