"""Serve a local web page that shows the memory at work: language, reasoning, learning curves."""

from importlib.util import find_spec

from jsonargparse import ArgumentParser, Namespace

from ..errors import UserError

HIGHEST_PORT = 65535


def add(parser: ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "runs",
        nargs="*",
        help="run folders, names of runs in runs/, or shipped models "
        "[the shipped models and all runs in runs/]",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8123,
        help="port on this machine's own address, 127.0.0.1; 0: any free one [8123]",
    )


def run(arguments: Namespace) -> None:
    """Serve the page until Ctrl-C."""
    port = arguments.port
    if not 0 <= port <= HIGHEST_PORT:
        raise UserError(f"--port: must be from 0 to {HIGHEST_PORT}, got {port}")
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise UserError(
                f"rrnn show: {package} is not installed; run: pip install starlette uvicorn"
            )
    from ..show.app import make_app
    from ..show.catalogue import Catalogue
    from ..show.server import serve

    app = make_app(Catalogue(arguments.runs))
    serve(app, port, ready=lambda url: print(f"{url} (Ctrl-C stops)", flush=True))
