"""The data of a sweep, made ready once, before processes that would all do it at the same time."""

from ..errors import UserError
from ..registry import entry, resolve
from .plan import Plan
from .space import Choices


def prepare(plan: Plan) -> None:
    """Open every corpus that a trial may train on.

    Raises:
        UserError: one is missing, or not fit for it.
    """
    corpus = entry(plan.base).corpus
    if corpus is None:
        return
    open_corpus = resolve(corpus)
    searched = plan.space.get("data")
    for name in searched.values if isinstance(searched, Choices) else (vars(plan.base)["data"],):
        try:
            open_corpus(name)
        except ValueError as error:
            raise UserError(str(error)) from error
