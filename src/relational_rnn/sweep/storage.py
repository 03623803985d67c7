"""Optuna behind a sweep: the database, the study in it, the samplers and the pruner."""

import json
import logging
import sqlite3
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .plan import MAY_DIFFER, Plan
from .space import Choices

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage

BUSY_SECONDS = 60
"""How long SQLite waits while another process writes."""


def need_optuna() -> None:
    """Import Optuna, with its messages below warnings turned off.

    Raises:
        UserError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise UserError("rrnn sweep: optuna is not installed; run: pip install optuna") from error
    optuna.logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def open_file(path: Path) -> "RDBStorage":
    """Open the SQLite database in a file; it is created if missing.

    Raises:
        UserError: it cannot be opened, or is not a database.
    """
    # No URL is made of the path, in which "?", "#", "%", "{" or a byte outside UTF-8 would count.
    connect = partial(
        sqlite3.connect, path.absolute(), timeout=BUSY_SECONDS, check_same_thread=False
    )
    return _open("sqlite:///study.db", str(path), creator=connect)


def open_url(url: str) -> "RDBStorage":
    """Open the database at a URL such as ``sqlite:///FILE``; it is created if missing.

    Raises:
        UserError: the kind of database is unknown, its driver is missing, or it does not answer.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UserError(
            f"--storage: must be a database URL such as sqlite:///FILE or "
            f"postgresql://USER@HOST/NAME, got {url!r}"
        ) from error
    engine: dict[str, Any] = {}
    if parsed.get_backend_name() == "sqlite":
        engine["connect_args"] = {"timeout": BUSY_SECONDS}
    braces = str.maketrans({"{": "{{", "}": "}}"})  # Optuna fills in braces
    # The repr of the parsed URL hides the password.
    return _open(url.translate(braces), f"--storage: {parsed!r}", **engine)


def _open(url: str, where: str, **engine: Any) -> "RDBStorage":
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    failures = (
        SQLAlchemyError,
        StorageInternalError,
        ImportError,
        OSError,
        RuntimeError,
        ValueError,
    )
    try:
        return RDBStorage(url, engine_kwargs=engine)
    except failures as error:
        raise UserError(f"{where}: cannot be opened: {failure(error)}") from error


def failure(error: BaseException) -> str:
    """Why a database failed, in one line: its own message, not Optuna's guess of invalid data."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split("\n")[0].split())
    if "database is locked" in text:
        return f"another process keeps it locked for over {BUSY_SECONDS} s; wait for it or stop it"
    return text


def open_study(storage: "RDBStorage", name: str, plan: Plan) -> "Study":
    """Open the study of that name; it is created if missing.

    Raises:
        UserError: it was created with another plan.
    """
    import optuna

    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="minimize" if plan.lower_is_better else "maximize",
        sampler=optuna.samplers.RandomSampler(),  # replaced for each trial, see sampler_of
        pruner=_pruner(plan),
        load_if_exists=True,
    )
    ours = plan.as_plain()
    found = study.user_attrs.get("plan")
    if found is None:
        study.set_user_attr("plan", json.dumps(ours))
        return study
    try:
        difference = _difference(json.loads(found), ours)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{name}: the plan in its database is damaged; choose another --run"
        ) from error
    if difference:
        raise UserError(
            f"{name}: was started as another sweep: {difference}; "
            "choose another --run, or restore the sweep"
        )
    return study


def sampler_of(plan: Plan, number: int) -> "BaseSampler":
    """The sampler of one trial, with its own seed, so that no two processes draw the same."""
    import numpy as np
    from optuna import samplers

    seed = int(np.random.SeedSequence([plan.seed, number]).generate_state(1)[0])
    if plan.sampler == "tpe":
        return samplers.TPESampler(seed=seed, constant_liar=True)
    sampler = samplers.RandomSampler(seed=seed)
    if not plan.rows:
        return sampler
    stored = {}
    for name, value in plan.rows[min(number, len(plan.rows) - 1)].items():
        dimension = plan.space[name]
        assert isinstance(dimension, Choices)
        stored[name] = dimension.stored[dimension.values.index(value)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental", since 2020
        return samplers.PartialFixedSampler(stored, sampler)


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
    """The first difference between two plans that is not allowed; empty without one."""
    for key in (theirs | ours).keys() - {"fields", "trials"}:
        if theirs.get(key) != ours.get(key):
            return f"its {key} differs"
    before, now = theirs["fields"], ours["fields"]
    for name in (before | now).keys() - set(MAY_DIFFER):
        if before.get(name) != now.get(name):
            return f"{name} was {before.get(name)} and is {now.get(name)} now"
    return ""
