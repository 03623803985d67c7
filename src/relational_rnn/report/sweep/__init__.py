"""A sweep's trials beside each other: a table, a picture of their parameters, a page."""

from .axes import Axis, choices
from .files import write_sweep
from .outcomes import Outcome, Outcomes
from .table import show

__all__ = ["Axis", "Outcome", "Outcomes", "choices", "show", "write_sweep"]
