"""The axes of a plan, for its picture and its table."""

from ..report.sweep import Axis, choices
from .plan import Plan
from .space import Choices


def axes_of(plan: Plan) -> list[Axis]:
    """One for each field that is not the same in all trials."""
    found = []
    for name, space in plan.space.items():
        if not isinstance(space, Choices):
            found.append(Axis(name, low=space.low, high=space.high, log=space.log))
        elif len(space.values) > 1:
            found.append(choices(name, space.values))
    return found
