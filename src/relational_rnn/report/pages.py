"""Self-contained HTML pages from the Jinja2 templates in ``templates/``."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..errors import UserError
from ..printable import printable


def render(template: str, **values: Any) -> str:
    """Fill a template; text is escaped unless it is :class:`markupsafe.Markup`,
    and control characters in it are shown, see :func:`..printable.printable`.

    Args:
        template: name of a file in ``templates/``.
        values: its variables; a missing one is an error.
    """
    environment = Environment(
        loader=PackageLoader("relational_rnn.report"),
        autoescape=True,
        finalize=_printable,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment.get_template(template).render(values)


def _printable(value: Any) -> Any:
    return printable(value, newlines=True) if type(value) is str else value


def make_folder(folder: Path) -> None:
    """Create the folder that files are written to, with its parents.

    Raises:
        UserError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be created: {error.strerror}") from error


def make_empty_folder(folder: Path) -> None:
    """Create a folder as `make_folder` does; one that exists must be empty.

    Raises:
        UserError: it cannot be created, or has files already.
    """
    make_folder(folder)
    if any(folder.iterdir()):
        raise UserError(f"{folder}: has files already; give a new folder")
