"""The Relational Memory Core for PyTorch (Santoro et al. 2018, arXiv 1806.01822)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nn.relational_memory import RelationalMemory, RelationalMemoryCell

    __version__: str

__all__ = ["RelationalMemory", "RelationalMemoryCell", "__version__"]


def __getattr__(name: str) -> Any:
    """Import torch only when a module is requested, so that ``rrnn --help`` starts fast.

    The version is read when it is requested: a signal during the import of this package, before
    the command can catch it, would be a traceback.
    """
    if name == "__version__":
        return import_module("importlib.metadata").version("relational-rnn")
    if name in ("RelationalMemory", "RelationalMemoryCell"):
        return getattr(import_module(".nn.relational_memory", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, without importing torch."""
    return sorted(__all__)
