"""The plan of a sweep: what is searched, on which configuration, and how trials are chosen.

A plan is read from a YAML file and checked completely before anything is trained.
"""

import itertools
import json
import math
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..config import TaskConfig, load
from ..config.fields import nearest, one_of
from ..config.files import parse
from ..config.yaml_files import read_yaml
from ..errors import UserError
from ..registry import Metric, entry, resolve
from ..runs import resolved_start
from .space import Choices, Dimension, read_dimension

KEYS = ("base", "fields", "space", "rows", "sampler", "pruner", "seed", "trials")
SAMPLERS = ("tpe", "random")
PRUNERS = ("none", "median", "hyperband")
NOT_SEARCHED = ("task", "name", "num_nodes")
MAY_DIFFER = ("device", "devices", "threads", "checkpoint_every")
"""Fields that may differ between the processes that work on one sweep. Fewer than may change when a
run is resumed: trials of different lengths, for example, cannot be compared."""

MOST_CHECKED = 2000
"""Combinations of values that are checked beforehand; of more, a random sample is checked."""


@dataclass(frozen=True)
class Plan:
    """Everything that determines a sweep.

    Attributes:
        name: of the sweep.
        base: the configuration whose fields are changed.
        space: the searched fields; with rows, all values that a field has in them.
        rows: values of these fields for each trial; empty if they are sampled.
        published: for each row its published figure, or None.
        sampler: one of ``SAMPLERS``; "rows" with rows.
        pruner: one of ``PRUNERS``.
        seed: of the sampler.
        trials: number of trials.
    """

    name: str
    base: TaskConfig
    space: dict[str, Dimension]
    rows: list[dict[str, Any]]
    published: list[float | None]
    sampler: str
    pruner: str
    seed: int
    trials: int

    @property
    def measure(self) -> Metric:
        """What is compared, on the validation data: "perplexity" or "accuracy"."""
        return entry(self.base).metric

    @property
    def lower_is_better(self) -> bool:
        """Whether the best trial has the lowest value."""
        return self.measure == "perplexity"

    def config(self, number: int, parameters: Mapping[str, Any]) -> TaskConfig:
        """The configuration of a trial.

        Raises:
            UserError: the values exclude each other.
        """
        values = asdict(self.base) | dict(parameters) | {"name": f"{self.name}-{number:04}"}
        config = type(self.base)(**values)
        if config.start is not None:
            # A run that is gone since is needed by no trial that has begun.
            with suppress(UserError):
                config = replace(config, start=resolved_start(config.start))
        return config

    def as_plain(self) -> dict[str, Any]:
        """The plan as the content of a sweep's file with every field of the base."""
        skipped = {"task", "name", "num_nodes", *self.space}
        base = {key: value for key, value in asdict(self.base).items() if key not in skipped}
        plain: dict[str, Any] = {"base": self.base.task, "fields": base}
        if self.rows:
            plain["rows"] = [
                row if figure is None else row | {"published": figure}
                for row, figure in zip(self.rows, self.published, strict=True)
            ]
        else:
            plain["sampler"] = self.sampler
            plain["space"] = {key: space.as_plain() for key, space in self.space.items()}
        plain |= {"pruner": self.pruner, "seed": self.seed, "trials": self.trials}
        return dict(json.loads(json.dumps(plain)))  # tuples become lists, as in YAML

    def open_data(self) -> None:
        """Prepare every corpus once, before several processes would all do it at the same time.

        Raises:
            UserError: a corpus is missing or unsuitable, or a run to start from is missing.
        """
        for start in self._values("start"):
            if start is not None:
                resolved_start(start)
        corpus = entry(self.base).corpus
        if corpus is None:
            return
        open_corpus = resolve(corpus)
        for name in self._values("data"):
            try:
                open_corpus(name)
            except ValueError as error:
                raise UserError(str(error)) from error

    def _values(self, name: str) -> Sequence[Any]:
        """All values that the trials have of a field of text."""
        searched = self.space.get(name)
        return searched.values if isinstance(searched, Choices) else (getattr(self.base, name),)


def shipped() -> dict[str, Path]:
    """Names of the sweeps in the package, with their files."""
    folder = Path(str(files("relational_rnn"))) / "sweeps"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_plan(
    name_or_path: str, overrides: Mapping[str, Any] | None = None, *, trials: int | None = None
) -> Plan:
    """Read a sweep from a YAML file or, by its name, from the package.

    Args:
        name_or_path: the path of the file, or the name of a shipped sweep.
        overrides: fields of the base to replace; values may be text, as on the command line.
        trials: number of trials, instead of the file's.

    Raises:
        UserError: there is no such sweep, or some trial of it would be invalid.
    """
    path, given = _read(name_or_path)
    overrides = overrides or {}
    if trials is not None:
        _check_trials("--trials", trials)
    try:
        plan = _plan(path, given, trials)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if trials is not None:
        _check_trials("--trials", trials, plan.rows)
    for name in overrides.keys() & plan.space.keys():
        raise UserError(f"--{name.replace('_', '-')}: the sweep searches {name}; omit the option")
    if overrides:
        base = load(_base(path, given), given.get("fields", {}) | dict(overrides))
        plan = replace(plan, base=base)
    if plan.base.num_nodes != 1:
        raise UserError(
            f"num_nodes: must be 1, because a trial runs on one machine, got {plan.base.num_nodes}"
        )
    _check_configurations(plan)
    return plan


def _read(name: str) -> tuple[Path, dict[str, Any]]:
    path = shipped().get(name, Path(name))
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or os.sep in name:
            raise UserError(f"{name}: no such sweep file")
        hint = nearest(name, shipped()) or f"; give a YAML file or {one_of(shipped())}"
        raise UserError(f"{name}: no such sweep{hint}")
    given = read_yaml(path)
    if not isinstance(given, dict) or "base" not in given:
        raise UserError(f"{path}: not a sweep; it must have base:, and space: or rows:")
    return path, given


def _base(path: Path, given: Mapping[str, Any]) -> str:
    """The name of the base, or its file, which is looked for in the sweep's folder first."""
    name = given["base"]
    if not isinstance(name, str) or len(name) > 1000:
        raise UserError(f"{path}: base must be the name of a configuration or of its file")
    neighbour = path.parent / name
    return str(neighbour) if neighbour.is_file() else name


def _plan(path: Path, given: dict[str, Any], trials: int | None) -> Plan:
    for key in given:
        if key not in KEYS:
            raise UserError(f"{key}: unknown{nearest(str(key), KEYS) or f'; {one_of(KEYS)}'}")
    if "rows" in given and "space" in given:
        raise UserError("rows and space: exclude each other; remove one")
    fixed = given.get("fields", {})
    if not isinstance(fixed, dict):
        raise UserError(f"fields: must be lines of `field: value`, got {fixed!r}")
    plain = load(_base(path, given))
    _check_names(plain, fixed, "fields")
    base = load(_base(path, given), fixed)
    rows, published = _rows(base, given["rows"]) if "rows" in given else ([], [])
    space = _space(base, given.get("space")) if "rows" not in given else _space_of(rows)
    for name in fixed.keys() & space.keys() if not rows else ():
        raise UserError(f"{name}: both fixed under fields and searched; remove one")
    if trials is None:
        trials = _check_trials("trials", given.get("trials", len(rows) or None), rows)
    seed = given.get("seed", 0)
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"seed: must be an integer >= 0, got {seed!r}")
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
        trials=trials,
    )


def _check_trials(where: str, number: Any, rows: Sequence[object] = ()) -> int:
    """The number of trials, after checking it; ``where`` names the option or the key it is from."""
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise UserError(f"{where}: must be an integer >= 1, got {number!r}")
    if rows and number > len(rows):
        raise UserError(f"{where}: must be at most the number of rows, {len(rows)}, got {number}")
    return number


def _one_of(name: str, value: Any, valid: tuple[str, ...]) -> str:
    value = "none" if value is None else value
    if value not in valid:
        raise UserError(f"{name}: must be {one_of(valid)}, got {value!r}")
    return str(value)


def _check_names(base: TaskConfig, given: Mapping[Any, Any], where: str) -> None:
    valid = [field.name for field in fields(base) if field.name not in NOT_SEARCHED]
    for name in given:
        if name not in valid:
            raise UserError(f"{where}: {name}: unknown field{nearest(str(name), valid)}")


def _space(base: TaskConfig, given: Any) -> dict[str, Dimension]:
    if not isinstance(given, dict) or not given:
        raise UserError("space: must be lines of `field: choices`; or use rows: instead")
    _check_names(base, given, "space")
    try:
        return {name: read_dimension(type(base), name, value) for name, value in given.items()}
    except UserError as error:
        raise UserError(f"space: {error}") from error


def _rows(base: TaskConfig, given: Any) -> tuple[list[dict[str, Any]], list[float | None]]:
    """The rows, each with all fields that any of them has, and the published figures."""
    if not isinstance(given, list) or not all(isinstance(row, dict) and row for row in given):
        raise UserError("rows: must be a list whose items are lines of `field: value`")
    if not given:
        raise UserError("rows: must not be empty")
    rows, published = [], []
    for number, row in enumerate(given, 1):
        values = dict(row)
        figure = values.pop("published", None)
        if figure is not None and (isinstance(figure, bool) or not isinstance(figure, int | float)):
            raise UserError(f"rows: {number}: published: must be a number, got {figure!r}")
        _check_names(base, values, f"rows: {number}")
        try:
            rows.append({key: parse(type(base), key, value) for key, value in values.items()})
        except UserError as error:
            raise UserError(f"rows: {number}: {error}") from error
        published.append(figure)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not names:
        raise UserError("rows: no row sets a field")
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


def _check_configurations(plan: Plan) -> None:
    """Build the configuration of every row, or of every combination of ends and choices.

    Raises:
        UserError: one of them is invalid.
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
    if math.prod(map(len, corners)) > MOST_CHECKED:
        draw = random.Random(plan.seed)
        drawn = (tuple(map(draw.choice, corners)) for _ in range(MOST_CHECKED))
    return (dict(zip(plan.space, values, strict=True)) for values in drawn)
