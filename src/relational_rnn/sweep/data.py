"""The data of a sweep, made ready once, before processes that would all do it at the same time."""

from ..config import LanguageModelingConfig
from ..errors import UserError
from .plan import Plan
from .space import Choices


def prepare(plan: Plan) -> None:
    """Open every corpus that a trial may train on.

    Raises:
        UserError: one is missing, or not fit for it.
    """
    if not isinstance(plan.base, LanguageModelingConfig):
        return
    from ..tasks.language_modeling import open_corpus

    searched = plan.space.get("data")
    for name in searched.values if isinstance(searched, Choices) else (plan.base.data,):
        try:
            open_corpus(name)
        except ValueError as error:
            raise UserError(str(error)) from error
