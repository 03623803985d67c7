"""A sweep's file, checked to the last value before anything is trained."""

import itertools
import math
import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ..config import TaskConfig, load
from ..config.fields import nearest, one_of
from ..config.files import parse
from ..errors import UserError
from .plan import PRUNERS, SAMPLERS, Plan
from .space import Choices, Dimension, read_dimension

KEYS = ("base", "fields", "space", "rows", "sampler", "pruner", "seed", "trials")
NOT_SEARCHED = ("task", "name", "num_nodes")
MOST_TRIED_OUT = 2000
"""Combinations of values that are checked beforehand; more than that are drawn from."""


def shipped() -> dict[str, Path]:
    """Names of the sweeps in the package, with their files."""
    folder = Path(str(files("relational_rnn"))) / "sweeps"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_plan(
    name_or_path: str, overrides: Mapping[str, Any] | None = None, *, trials: int | None = None
) -> Plan:
    """Read a sweep: the path of a YAML file, or the name of a shipped one.

    Args:
        name_or_path: which one.
        overrides: fields of the base to replace; values may be text, as on the command line.
        trials: their number, if another than the file's.

    Raises:
        UserError: no such sweep, or anything in it that no trial could be made of.
    """
    path, given = _read(name_or_path)
    overrides = overrides or {}
    try:
        plan = _plan(path, given, trials)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    for name in overrides.keys() & plan.space.keys():
        raise UserError(f"--{name.replace('_', '-')}: the sweep tries values of its own for {name}")
    if overrides:
        base = load(_base(path, given), given.get("fields", {}) | dict(overrides))
        plan = replace(plan, base=base)
    if plan.base.num_nodes != 1:
        raise UserError(
            f"num_nodes: {plan.base.num_nodes}: a trial runs on one machine; it takes 1"
        )
    _try_out(plan)
    return plan


def _read(name: str) -> tuple[Path, dict[str, Any]]:
    path = shipped().get(name, Path(name))
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or os.sep in name:
            raise UserError(f"{name}: no such sweep file")
        hint = nearest(name, shipped()) or f"; it takes a YAML file or {one_of(shipped())}"
        raise UserError(f"{name}: no such sweep{hint}")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a YAML file in UTF-8: {reason}") from error
    if not isinstance(given, dict) or "base" not in given:
        raise UserError(f"{path}: not a sweep; it takes base:, and space: or rows:")
    return path, given


def _base(path: Path, given: Mapping[str, Any]) -> str:
    """The name of the base; a file is looked for beside the sweep's own first."""
    name = str(given["base"])
    beside = path.parent / name
    return str(beside) if beside.is_file() else name


def _plan(path: Path, given: dict[str, Any], trials: int | None) -> Plan:
    for key in given:
        if key not in KEYS:
            raise UserError(f"{key}: unknown{nearest(str(key), KEYS) or f'; {one_of(KEYS)}'}")
    if "rows" in given and "space" in given:
        raise UserError("rows and space: it takes one of them")
    fixed = given.get("fields", {})
    if not isinstance(fixed, dict):
        raise UserError(f"fields: {fixed!r} is not valid; it takes lines of `field: value`")
    plain = load(_base(path, given))
    _check_names(plain, fixed, "fields")
    base = load(_base(path, given), fixed)
    rows, published = _rows(base, given["rows"]) if "rows" in given else ([], [])
    space = _space(base, given.get("space")) if "rows" not in given else _space_of(rows)
    for name in fixed.keys() & space.keys() if not rows else ():
        raise UserError(f"{name}: is fixed under fields and searched as well; it takes one of them")
    number = trials if trials is not None else given.get("trials", len(rows) or None)
    where = "--trials" if trials is not None else "trials"
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UserError(f"{where}: {number!r} is not valid; it takes a number >= 1")
    if rows and number > len(rows):
        raise UserError(f"{where}: {number} is more than there are rows, {len(rows)}")
    seed = given.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed: {seed!r} is not valid; it takes an integer >= 0")
    sampler = given.get("sampler", "rows" if rows else SAMPLERS[0])
    return Plan(
        name=path.stem,
        base=base,
        space=space,
        rows=rows,
        published=published,
        sampler=_one_of("sampler", sampler, ("rows",) if rows else SAMPLERS),
        pruner=_one_of("pruner", given.get("pruner", "none"), PRUNERS),
        seed=seed,
        trials=number,
    )


def _one_of(name: str, value: Any, valid: tuple[str, ...]) -> str:
    value = "none" if value is None else value
    if value not in valid:
        raise UserError(f"{name}: {value!r} is unknown; it takes {one_of(valid)}")
    return str(value)


def _check_names(base: TaskConfig, given: Mapping[Any, Any], where: str) -> None:
    valid = [field.name for field in fields(base) if field.name not in NOT_SEARCHED]
    for name in given:
        if name not in valid:
            raise UserError(f"{where}: {name}: unknown field{nearest(str(name), valid)}")


def _space(base: TaskConfig, given: Any) -> dict[str, Dimension]:
    if not isinstance(given, dict) or not given:
        raise UserError("space: is empty; it takes lines of `field: choices`, or rows: instead")
    _check_names(base, given, "space")
    try:
        return {name: read_dimension(type(base), name, value) for name, value in given.items()}
    except UserError as error:
        raise UserError(f"space: {error}") from error


def _rows(base: TaskConfig, given: Any) -> tuple[list[dict[str, Any]], list[float | None]]:
    """The rows, each with all fields that any of them has, and the published figures."""
    if not isinstance(given, list) or not all(isinstance(row, dict) and row for row in given):
        raise UserError("rows: it takes a list, each with lines of `field: value`")
    if not given:
        raise UserError("rows: is empty")
    rows, published = [], []
    for number, row in enumerate(given, 1):
        values = dict(row)
        figure = values.pop("published", None)
        if figure is not None and (isinstance(figure, bool) or not isinstance(figure, int | float)):
            raise UserError(f"rows: {number}: published: {figure!r} is not a number")
        _check_names(base, values, f"rows: {number}")
        try:
            rows.append({key: parse(type(base), key, value) for key, value in values.items()})
        except UserError as error:
            raise UserError(f"rows: {number}: {error}") from error
        published.append(figure)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        raise UserError("rows: no field is given in any of them")
    return [{key: row.get(key, getattr(base, key)) for key in names} for row in rows], published


def _space_of(rows: list[dict[str, Any]]) -> dict[str, Dimension]:
    found: dict[str, Dimension] = {}
    for name in rows[0]:
        values: list[Any] = []
        for row in rows:
            if row[name] not in values:
                values.append(row[name])
        found[name] = Choices(tuple(values))
    return found


def _try_out(plan: Plan) -> None:
    """Make the configuration of every row, or of the ends and choices in every combination.

    Raises:
        UserError: one of them would be refused.
    """
    for number, combination in enumerate(plan.rows or _corners(plan), 1):
        try:
            plan.config(0, combination)
        except UserError as error:
            values = ", ".join(f"{key}: {value}" for key, value in combination.items())
            where = f"rows: {number}" if plan.rows else f"space: with {values}"
            raise UserError(f"{where}: {error}") from error


def _corners(plan: Plan) -> Iterable[dict[str, Any]]:
    corners = [dimension.corners for dimension in plan.space.values()]
    drawn: Iterable[tuple[Any, ...]] = itertools.product(*corners)
    if math.prod(map(len, corners)) > MOST_TRIED_OUT:
        draw = random.Random(plan.seed)
        drawn = (tuple(map(draw.choice, corners)) for _ in range(MOST_TRIED_OUT))
    return (dict(zip(plan.space, values, strict=True)) for values in drawn)
