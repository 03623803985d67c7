"""From run folders to files to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..files import write_bytes, write_text
from ..inspection import Inspection
from .memory_page import memory_page
from .memory_picture import draw_memory
from .page import as_page
from .picture import as_png, as_svg, draw
from .record import Record, read


@dataclass
class Report:
    """What was written, and the runs it is about.

    Attributes:
        records: the runs, in the order given.
        picture: learning curves, PNG.
        page: HTML with curves and tables.
    """

    records: list[Record]
    picture: Path
    page: Path


def write_report(folders: Sequence[Path], output: Path) -> Report:
    """Compare runs in a picture and on a page, ``curves.png`` and ``report.html``.

    Args:
        folders: run folders, one or more. Only config.yaml, metrics.csv and summary.json are read.
        output: folder to write to, made if need be; older files of these two names are replaced.

    Raises:
        UserError: a file of a run is missing or broken, the runs are of different tasks, or the
            output cannot be written.
    """
    records = [read(folder) for folder in folders]
    first = records[0]
    for record in records[1:]:
        if (record.task, record.measure) != (first.task, first.measure):
            raise UserError(
                f"{record.folder}: its task is {record.task}, that of {first.folder} is "
                f"{first.task}; report on runs of one task at a time"
            )
    _make(output)
    report = Report(records, output / "curves.png", output / "report.html")
    figure = draw(records)
    write_bytes(report.picture, as_png(figure))
    write_text(report.page, as_page(records, as_svg(figure)))
    return report


def write_memory(seen: Inspection, output: Path) -> tuple[Path, Path]:
    """Show what a memory did in one example, in ``memory.png`` and ``memory.html``.

    Args:
        seen: from :func:`..inspection.inspect`.
        output: folder to write to, made if need be; older files of these two names are replaced.

    Returns:
        The two files.

    Raises:
        UserError: the output cannot be written.
    """
    _make(output)
    picture, page = output / "memory.png", output / "memory.html"
    write_bytes(picture, as_png(draw_memory(seen)))
    write_text(page, memory_page(seen))
    return picture, page


def _make(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{output}: cannot be made: {error.strerror}") from error
