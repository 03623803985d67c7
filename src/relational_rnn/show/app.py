"""The page's server: its files, and what its scripts ask for, as an ASGI application.

It serves the files that are read below at the start, by name, and no other; a request names runs by
the titles of the catalogue. Requests of other sites are refused: a host that is not this machine,
and anything but JSON, which a browser sends to another site only if that allows it.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import __version__
from ..errors import UserError
from ..files import as_json
from ..printable import printable
from ..tasks.language_modeling import read_prompt
from .catalogue import Catalogue
from .curves import curves
from .language import Reader, read_on
from .nth_farthest import Answerer

HOSTS = ("127.0.0.1", "localhost")

LONGEST_PROMPT = 2_000
"""Characters of a prompt."""
LONGEST_TEXT = 1_000
"""Words of a text, read and drawn."""
MOST_WORDS = 160
"""Words that one request draws."""
LARGEST_BODY = 2**18
"""Bytes of a request."""
AT_ONCE = 4
"""Requests that compute at the same time; one more is refused."""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

Result = TypeVar("Result")

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Content types of the files in ``static/``."""


def make_app(catalogue: Catalogue) -> Starlette:
    """The application that shows the runs of a catalogue."""
    server = _Server(catalogue)
    return Starlette(
        routes=[
            Route("/", server.page),
            Route("/static/{name}", server.static),
            Route("/api/runs", server.runs),
            Route("/api/curves", server.curves),
            Route("/api/text", server.text, methods=["POST"]),
            Route("/api/example", server.example, methods=["POST"]),
            Route("/api/answer", server.answer, methods=["POST"]),
        ],
        middleware=[
            Middleware(_Headers),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        ],
        exception_handlers={HTTPException: _refused, UserError: _mistaken},
    )


class _Server:
    """What the routes answer."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.computing = 0
        self.html = _page()
        self.files = _static_files()

    async def page(self, request: Request) -> Response:
        return HTMLResponse(self.html)

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.files:
            raise HTTPException(404, "no such file")
        kind = KINDS[name[name.rindex(".") :]]
        return Response(self.files[name], headers={"Content-Type": kind})

    async def runs(self, request: Request) -> Response:
        """All runs, as :meth:`.Catalogue.listed`."""
        return _json(await run_in_threadpool(self.catalogue.listed))

    async def curves(self, request: Request) -> Response:
        """The curves of all runs, by title."""

        def read() -> dict[str, Any]:
            return {title: curves(run) for title, run in self.catalogue.runs().items()}

        return _json(await run_in_threadpool(read))

    async def text(self, request: Request) -> Response:
        """Read a text and continue it; the words are sent as server-sent events.

        The request has ``run``, ``words`` to draw, ``temperature``, perhaps a run to ``compare``,
        and either a ``prompt`` or the ``tokens`` of a text of which the first ``known`` are on the
        page already. The events are ``note``, ``word`` (see :func:`.read_on`), ``refused`` and
        ``end``.
        """
        body = await _body(request)
        words, note = await self._compute(lambda: self._words(body))

        async def events() -> AsyncIterator[str]:
            if note:
                yield _event("note", printable(note))
            try:
                with self._computing():
                    async for word in iterate_in_threadpool(words):
                        yield _event("word", word)
            except UserError as error:
                yield _event("refused", printable(error))
            except HTTPException as error:
                yield _event("refused", error.detail)
            yield _event("end", None)

        return StreamingResponse(events(), media_type="text/event-stream")

    def _words(self, body: dict[str, Any]) -> tuple[Iterator[dict[str, Any]], str | None]:
        """The words that a request asks for, still to be read, and a note on its prompt."""
        count = _number(body, "words", 0, 0, MOST_WORDS)
        temperature = _number(body, "temperature", 1.0, 0.05, 5.0)
        prompt = body.get("prompt", "")
        if not isinstance(prompt, str):
            raise UserError("prompt: must be a text")
        if len(prompt) > LONGEST_PROMPT:
            raise HTTPException(
                413, f"prompt: must have at most {LONGEST_PROMPT:,} characters, got {len(prompt):,}"
            )
        reader = self.catalogue.open(body.get("run"), Reader)
        other = None
        if body.get("compare") is not None:
            other = self.catalogue.open(body["compare"], Reader)
            if other.vocabulary.digest != reader.vocabulary.digest:
                raise UserError("compare: the models must have the same vocabulary")
        if isinstance(body.get("tokens"), list):
            tokens, note = reader.check(body["tokens"]), None
        else:
            read = read_prompt(prompt, reader.vocabulary)
            tokens, note = read.ids, read.note
        known = _number(body, "known", 0, 0, len(tokens))
        length = len(tokens) + count
        if length > LONGEST_TEXT:
            raise HTTPException(
                413, f"the text: must have at most {LONGEST_TEXT:,} words, got {length:,}"
            )
        words = read_on(
            reader, tokens, known=known, words=count, temperature=temperature, other=other
        )
        return words, note

    async def example(self, request: Request) -> Response:
        """An example of a run of Nth farthest: ``run`` and ``seed``."""
        body = await _body(request)

        def draw() -> dict[str, Any]:
            seed = _number(body, "seed", 0, 0, 2**32)
            return self.catalogue.open(body.get("run"), Answerer).example(seed)

        return _json(await self._compute(draw))

    async def answer(self, request: Request) -> Response:
        """How a run answers: ``run``, and the fields of :meth:`.Answerer.question`."""
        body = await _body(request)

        def answer() -> dict[str, Any]:
            model = self.catalogue.open(body.get("run"), Answerer)
            return model.answer(model.question(body))

        return _json(await self._compute(answer))

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Take one of the places of requests that compute; the user's window does not wait."""
        if self.computing >= AT_ONCE:
            raise HTTPException(503, f"busy: {AT_ONCE} requests are at work; try again in a moment")
        self.computing += 1
        try:
            yield
        finally:
            self.computing -= 1

    async def _compute(self, work: Callable[[], Result]) -> Result:
        with self._computing():
            return await run_in_threadpool(work)


class _Headers:
    """Adds ``HEADERS`` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await self.app(scope, receive, send_with)


def _page() -> str:
    environment = Environment(
        loader=PackageLoader("relational_rnn.show"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html").render(
        version=__version__, longest_prompt=LONGEST_PROMPT
    )


def _static_files() -> dict[str, bytes]:
    """The files that the page loads, by name; it shares ``style.css`` with reports."""
    package = files("relational_rnn")
    shared = package / "report" / "templates"
    found = [*(package / "show" / "static").iterdir(), shared / "style.css", shared / "viridis.js"]
    return {file.name: file.read_bytes() for file in found if file.name.endswith(tuple(KINDS))}


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise HTTPException(415, "the request: must be application/json")
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > LARGEST_BODY:
            raise HTTPException(413, f"the request: must have at most {LARGEST_BODY:,} bytes")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise HTTPException(400, "the request: must be a JSON object")
    return body


def _number(body: dict[str, Any], name: str, default: Any, least: float, most: float) -> Any:
    """A number of a request; a whole one if the default is."""
    value = body.get(name, default)
    kinds = (int,) if isinstance(default, int) else (int, float)
    if type(value) not in kinds or not least <= value <= most:
        whole = "a whole number" if kinds == (int,) else "a number"
        raise UserError(f"{name}: must be {whole} from {least} to {most}, got {value!r:.40}")
    return value


def _json(value: Any, status: int = 200) -> Response:
    return Response(as_json(value), status, media_type="application/json")


def _event(kind: str, data: Any) -> str:
    return f"event: {kind}\ndata: {as_json(data)}\n\n"


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code)


async def _mistaken(request: Request, error: Exception) -> Response:
    return _json({"error": printable(error)}, 422)
