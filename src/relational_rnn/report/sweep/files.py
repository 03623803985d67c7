"""From a sweep's outcomes to files to look at."""

from pathlib import Path

from ...files import as_json, write_text
from .outcomes import Outcomes
from .page import as_page
from .table import as_markdown


def write_sweep(outcomes: Outcomes, folder: Path) -> dict[str, Path]:
    """Write ``table.md``, ``table.json`` and ``sweep.html`` into the sweep's folder.

    Returns:
        The files, by the names "table", "data" and "page".

    Raises:
        UserError: the folder cannot be written to; older files of these names stay.
    """
    paths = {
        "table": folder / "table.md",
        "data": folder / "table.json",
        "page": folder / "sweep.html",
    }
    data = {
        "sweep": outcomes.name,
        "measure": outcomes.measure,
        "spearman": outcomes.rho,
        "trials": outcomes.rows(),
    }
    write_text(paths["data"], as_json(data, indent=2) + "\n")
    write_text(paths["table"], as_markdown(outcomes))
    write_text(paths["page"], as_page(outcomes))
    return paths
