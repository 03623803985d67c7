"""The runs that the page shows, and their models, each opened once."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

from ..errors import UserError
from ..report.overview import overview
from ..runs import RUNS, SHIPPED, Run, find_run, shipped_models
from ..threads import use_threads_of
from .language import Reader
from .nth_farthest import Answerer

OPEN_MODELS = 4

Model = TypeVar("Model", Reader, Answerer)


class Catalogue:
    """The runs of a page, by their titles.

    The user names a run by its title, which is compared with these; it is never used as a path.

    Args:
        names: runs, as :func:`.find_run` finds them; none: the shipped models and the runs below
            ``runs/``, including those that are started later.

    Raises:
        UserError: there is no such run.
    """

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._given = [find_run(name) for name in names]
        self._found: dict[Path, tuple[int, Run]] = {}  # a run reads its configuration once
        self._opening = Lock()
        self._opened = lru_cache(OPEN_MODELS)(_open)

    def runs(self) -> dict[str, Run]:
        """The runs by title, in the order in which the page lists them: the largest model first,
        then the user's runs by name."""
        if self._given:
            return {run.title: run for run in self._given}
        shipped = (SHIPPED / name for name in shipped_models())
        folders = sorted(shipped, key=lambda folder: -Run(folder).weights_path.stat().st_size)
        folders += sorted(path.parent for path in RUNS.glob("*/config.yaml"))
        runs = [self._read(folder) for folder in folders]
        return {run.title: run for run in runs}

    def _read(self, folder: Path) -> Run:
        """The run in a folder, a new one if its configuration has changed."""
        try:
            changed = Run(folder).config_path.stat().st_mtime_ns
        except OSError:
            changed = -1
        if self._found.get(folder, (None,))[0] != changed:
            self._found[folder] = changed, Run(folder)
        return self._found[folder][1]

    def listed(self) -> list[dict[str, Any]]:
        """What :func:`.overview` says of each run, its title, and which models it can be
        compared with: those of equal ``vocabulary``."""
        return [
            {
                "id": title,
                **overview(run),
                "vocabulary": _vocabulary(run),
                "trained": bool(_weights(run)),
            }
            for title, run in self.runs().items()
        ]

    def open(self, title: object, kind: Callable[[Run], Model]) -> Model:
        """The model of a run.

        Args:
            title: the run's.
            kind: class of the model: :class:`.Reader` or :class:`.Answerer`.

        Raises:
            UserError: no run of this title is shown, it has no trained model, or it is of a task
                that the class does not know.
        """
        run = self.runs().get(title) if isinstance(title, str) else None
        if run is None:
            raise UserError(f"run: {title!r:.200} is not shown; choose one of the page")
        with self._opening:  # two requests for one model open it once
            return cast("Model", self._opened(kind, run.folder, _changed(run)))


def _open(kind: Callable[[Run], Model], folder: Path, changed: int) -> Model:
    run = Run(folder)
    use_threads_of(run.config)
    return kind(run)


def _weights(run: Run) -> list[Path]:
    return [path for path in (run.weights_path, run.best_path, run.last_path) if path.is_file()]


def _changed(run: Run) -> int:
    """When the weights were written, in nanoseconds: a run in training gets better ones."""
    return max((path.stat().st_mtime_ns for path in _weights(run)), default=0)


def _vocabulary(run: Run) -> str | None:
    """What the vocabularies of two runs have in common if they are equal; None without one."""
    if not run.vocabulary_path.is_file():
        return None
    return _digest(run.folder, run.vocabulary_path.stat().st_mtime_ns)


@lru_cache
def _digest(folder: Path, changed: int) -> str | None:
    try:
        return Run(folder).vocabulary.digest
    except UserError:
        return None
