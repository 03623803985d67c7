"""The Relational Memory Core for PyTorch (Santoro et al. 2018, arXiv 1806.01822)."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nn.relational_memory import RelationalMemory, RelationalMemoryCell

__all__ = ["RelationalMemory", "RelationalMemoryCell", "__version__"]

__version__ = version("relational-rnn")


def __getattr__(name: str) -> Any:
    """Import torch only when a module is requested, so that ``rrnn --help`` starts fast."""
    if name in ("RelationalMemory", "RelationalMemoryCell"):
        return getattr(import_module(".nn.relational_memory", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, without importing torch."""
    return sorted(__all__)
