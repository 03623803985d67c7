"""Serve the page to this machine alone, until the user stops it."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.applications import Starlette

from ..errors import UserError

ADDRESS = "127.0.0.1"
LONGEST_SHUTDOWN = 1
"""Seconds that an answer in progress has when the user stops the server."""


def serve(app: Starlette, port: int, *, ready: Callable[[str], object]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: the application.
        port: 0 takes any free one.
        ready: called with the address of the page, once it can be opened.

    Raises:
        UserError: the port is taken, or may not be used.
    """
    with _listen(port) as listener:
        config = uvicorn.Config(
            app, log_level="warning", lifespan="off", timeout_graceful_shutdown=LONGEST_SHUTDOWN
        )
        ready(f"http://{ADDRESS}:{listener.getsockname()[1]}/")
        with suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
            uvicorn.Server(config).run(sockets=[listener])


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen()
    except OSError as error:
        listener.close()
        what = (
            f"{port} is in use by another program"
            if error.errno == errno.EADDRINUSE
            else f"{port} cannot be used: {error.strerror}"
        )
        raise UserError(f"--port: {what}; give another one, or 0 for any free one") from error
    return listener
