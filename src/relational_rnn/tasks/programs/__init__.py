"""Program evaluation ("learning to execute"): grammar, generators, curriculum and batches.

``evaluate`` and ``generate`` need neither numpy nor torch, which are imported for ``Programs`` and
``Curriculum`` on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .generator import CATEGORIES, OPERATORS, generate, longest_program
from .grammar import GrammarError, evaluate

if TYPE_CHECKING:
    from .curriculum import Curriculum
    from .task import Programs

__all__ = [
    "CATEGORIES",
    "OPERATORS",
    "Curriculum",
    "GrammarError",
    "Programs",
    "evaluate",
    "generate",
    "longest_program",
]

_LATE = {"Curriculum": ".curriculum", "Programs": ".task"}


def __getattr__(name: str) -> Any:
    """Import the names that need numpy and torch on first use."""
    if name in _LATE:
        return getattr(import_module(_LATE[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
