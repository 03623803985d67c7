"""A suite: tasks, cores, learning rates and seeds, and the configuration of each of its runs.

A suite is read from a YAML file and checked completely before anything is trained.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from ..config import GeneratedConfig, load
from ..config.fields import MAGNITUDE, nearest, one_of, options
from ..config.yaml_files import read_yaml
from ..equal_size import WIDTHS, count_weights, of_equal_size
from ..errors import UserError
from ..registry import Metric, build_task, is_generated

KEYS = ("cores", "tasks", "learning_rates", "seeds", "fields")
TASK_KEYS = ("base", "fields", "threshold")
GIVEN = ("model", "seed", "learning_rate", "name", "task")
"""Fields that the suite decides."""


@dataclass(frozen=True)
class Cell:
    """One run of a suite: a core on a task, with a learning rate and a seed."""

    task: str
    core: str
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        """Name of its run's folder."""
        return f"{self.task}-{self.core}-{self.learning_rate:g}-{self.seed}"


@dataclass(frozen=True)
class Suite:
    """Everything that determines a comparison.

    Attributes:
        name: of the suite.
        configs: for each task, the configuration of each core; all of a task have the number of
            weights of its first one, within 1 %.
        thresholds: for each task, the validation accuracy whose time is compared.
        learning_rates: tried with the first seed; the best on the validation data is kept.
        seeds: of the runs with the learning rate that is kept.
    """

    name: str
    configs: dict[str, dict[str, GeneratedConfig]]
    thresholds: dict[str, float]
    learning_rates: list[float]
    seeds: list[int]

    measure: Metric = "accuracy"

    @property
    def cells(self) -> list[Cell]:
        """Every run that may be needed: the first seed with each learning rate, then the others."""
        return [
            Cell(task, core, rate, seed)
            for seed in self.seeds
            for task, cores in self.configs.items()
            for core in cores
            for rate in self.learning_rates
        ]

    def config(self, number: int, parameters: Mapping[str, Any]) -> GeneratedConfig:
        """The configuration of the cell with this number in :attr:`cells`."""
        cell = self.cells[number]
        return replace(
            self.configs[cell.task][cell.core],
            learning_rate=cell.learning_rate,
            seed=cell.seed,
            name=cell.name,
        )


def shipped() -> dict[str, Path]:
    """Names of the suites in the package, with their files."""
    folder = Path(str(files("relational_rnn"))) / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_suite(name_or_path: str) -> Suite:
    """Read a suite from a YAML file or, by its name, from the package.

    Raises:
        UserError: there is no such suite, or some run of it would be invalid.
    """
    path = shipped().get(name_or_path, Path(name_or_path))
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or os.sep in name_or_path:
            raise UserError(f"{name_or_path}: no such suite file")
        hint = nearest(name_or_path, shipped()) or f"; give a YAML file or {one_of(shipped())}"
        raise UserError(f"{name_or_path}: no such suite{hint}")
    given = read_yaml(path)
    try:
        return _suite(path, given)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _suite(path: Path, given: Any) -> Suite:
    given = _mapping("suite", given, KEYS, needed=("cores", "tasks", "learning_rates"))
    cores = _mapping("cores", given["cores"], tuple(WIDTHS))
    if not cores:
        raise UserError("cores: must not be empty")
    fields = _fields("fields", given.get("fields"))
    own = {core: _fields(f"cores: {core}", value) for core, value in cores.items()}
    first = WIDTHS[next(iter(cores))][0]
    _refuse_widths("fields", fields, but=first)
    for core, value in list(own.items())[1:]:
        _refuse_widths(f"cores: {core}", value)
    configs: dict[str, dict[str, GeneratedConfig]] = {}
    thresholds: dict[str, float] = {}
    if not isinstance(given["tasks"], dict) or not given["tasks"]:
        raise UserError("tasks: must be a mapping that is not empty")
    for name, value in given["tasks"].items():
        where = f"tasks: {name}"
        text = isinstance(name, str) and name.isprintable()
        if not text or not name or os.sep in name or name.startswith("."):
            raise UserError(f"tasks: {name!r}: must be a name that can be part of a folder's")
        task = _mapping(where, value, TASK_KEYS, needed=("base",))
        thresholds[name] = _number(f"{where}: threshold", task.get("threshold", 0.9), most=1.0)
        changed = _fields(f"{where}: fields", task.get("fields"))
        _refuse_widths(f"{where}: fields", changed, but=first)
        try:
            configs[name] = _of_equal_size(
                {
                    core: _generated(
                        _base(path, task["base"]), {**fields, **own[core], **changed, "model": core}
                    )
                    for core in cores
                }
            )
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    return Suite(
        name=path.stem,
        configs=configs,
        thresholds=thresholds,
        learning_rates=_rates(given["learning_rates"]),
        seeds=[_seed(seed) for seed in _distinct("seeds", given.get("seeds", [1]))],
    )


def _generated(base: str, fields: Mapping[str, Any]) -> GeneratedConfig:
    known = options(type(load(base)))
    for name in fields:
        if name not in known:
            raise UserError(f"{name}: not a field of {base}{nearest(name, known)}")
    config = load(base, fields)
    if not is_generated(config):
        raise UserError(f"base: must be a generated task or a configuration of one, got {base}")
    if config.start is not None:
        raise UserError("start: a comparison trains from random weights; remove it")
    build_task(config, training=True)
    return cast("GeneratedConfig", config)


def _of_equal_size(configs: dict[str, GeneratedConfig]) -> dict[str, GeneratedConfig]:
    """All but the first get a width that gives them its number of weights."""
    (first, reference), *others = configs.items()
    weights = count_weights(reference)
    return {first: reference, **{core: of_equal_size(each, weights) for core, each in others}}


def _base(path: Path, name: Any) -> str:
    """The name of the base, or its file, which is looked for in the suite's folder first."""
    neighbour = path.parent / str(name)
    return str(neighbour) if neighbour.is_file() else str(name)


def _mapping(
    where: str, value: Any, keys: tuple[str, ...], *, needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: must be a mapping with {one_of(keys)}, got {value!r}")
    for key in value:
        if key not in keys:
            hint = nearest(str(key), keys) or f"; {one_of(keys)}"
            raise UserError(f"{where}: {key}: unknown{hint}")
    for key in needed:
        if key not in value:
            raise UserError(f"{where}: {key} is missing")
    return value


def _fields(where: str, value: Any) -> dict[str, Any]:
    """Fields of a configuration; their names and values are checked when it is made."""
    value = {} if value is None else value
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{where}: must be lines of `field: value`, got {value!r}")
    for key in GIVEN:
        if key in value:
            raise UserError(f"{where}: {key}: is decided by the suite; remove it")
    return value


def _refuse_widths(where: str, fields: Mapping[str, Any], *, but: str | None = None) -> None:
    """Raise if fields give a width that would be overwritten to reach the first core's weights."""
    for width, _ in WIDTHS.values():
        if width in fields and width != but:
            raise UserError(
                f"{where}: {width}: is decided by the weights of the first core; remove it"
            )


def _rates(value: Any) -> list[float]:
    given = _distinct("learning_rates", value)
    rates = [_number("learning_rates", rate, most=MAGNITUDE) for rate in given]
    if len({f"{rate:g}" for rate in rates}) < len(rates):  # as the runs are named
        raise UserError(f"learning_rates: must differ in their first six digits, got {value!r}")
    return rates


def _distinct(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not value or len(set(map(repr, value))) != len(value):
        raise UserError(f"{where}: must be a list of different numbers, got {value!r}")
    return value


def _number(where: str, value: Any, *, most: float) -> float:
    number = value
    if isinstance(value, str):  # to YAML, 1e-3 is text
        with suppress(ValueError):
            number = float(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= most:
        raise UserError(f"{where}: must be a number in (0, {most:g}], got {value!r}")
    return float(number)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise UserError(f"seeds: must be integers from 0 to 2^32 - 1, got {value!r}")
    return value
