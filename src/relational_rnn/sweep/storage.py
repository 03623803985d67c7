"""The database of a sweep: opened, and refused in one line where it cannot be."""

import json
import logging
import warnings
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .plan import MAY_DIFFER, Plan

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

BUSY_SECONDS = 60
"""How long SQLite waits for another process that writes."""


def need_optuna() -> None:
    """Import Optuna, and quieten it.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError(
            "rrnn sweep needs Optuna: pip install 'relational-rnn[tune]' (or: pip install optuna)"
        ) from error
    optuna.logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_storage(url: str) -> "RDBStorage":
    """The database at an address such as ``sqlite:///FILE``, made if need be.

    Raises:
        UserError: no such kind of database, its driver is not installed, or it does not answer.
    """
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UserError(
            f"--storage: {url!r} is no address of a database; it takes one such as "
            "sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    engine: dict[str, Any] = {}
    if parsed.get_backend_name() == "sqlite":
        engine["connect_args"] = {"timeout": BUSY_SECONDS}
    try:
        return RDBStorage(url, engine_kwargs=engine)
    except (SQLAlchemyError, ImportError, OSError, RuntimeError, ValueError) as error:
        # The address is told without its password.
        reason = " ".join(str(error).split("\n")[0].split())
        raise UserError(f"--storage: {parsed!r} cannot be opened: {reason}") from error


def open_study(storage: "RDBStorage", name: str, plan: Plan) -> "Study":
    """The study of that name, made if need be.

    Raises:
        UserError: it was begun with another plan.
    """
    import optuna

    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="minimize" if plan.lower_is_better else "maximize",
        sampler=optuna.samplers.RandomSampler(),  # each trial gets its own, see study.py
        pruner=_pruner(plan),
        load_if_exists=True,
    )
    ours = plan.as_plain()
    found = study.user_attrs.get("plan")
    if found is None:
        study.set_user_attr("plan", json.dumps(ours))
        return study
    if difference := _difference(json.loads(found), ours):
        raise UserError(
            f"{name}: was begun as another sweep: {difference}; "
            "choose another --run, or leave it as it was"
        )
    return study


def _pruner(plan: Plan) -> Any:
    import optuna

    kinds = {
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        # Resources are counted in validations.
        "hyperband": optuna.pruners.HyperbandPruner,
    }
    return kinds[plan.pruner]()


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """The first thing in which two plans differ that may not; empty without one."""
    for key in (theirs | ours).keys() - {"fields", "trials"}:
        if theirs.get(key) != ours.get(key):
            return f"its {key} differs"
    before, now = theirs["fields"], ours["fields"]
    for name in (before | now).keys() - set(MAY_DIFFER):
        if before.get(name) != now.get(name):
            return f"{name} was {before.get(name)} and is {now.get(name)} now"
    return ""
