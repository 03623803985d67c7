"""What the page's server answers, and what it refuses."""

import contextlib
import json
import re
import threading
from importlib.resources import files

import pytest
from starlette.testclient import TestClient

from relational_rnn.show import app as module
from relational_rnn.show.app import AT_ONCE, HEADERS, LONGEST_PROMPT, MOST_WORDS, make_app
from relational_rnn.show.catalogue import Catalogue

from .conftest import WORDS, save_language, save_nth_farthest

TEXT = {"run": "runs/text", "prompt": "the cat"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The working folder of all tests here, with the runs that are shown."""
    folder = tmp_path_factory.mktemp("shown")
    with contextlib.chdir(folder):
        save_language("text")
        save_language("other", model="lstm", hidden_size=8)
        save_language("foreign", words=[*WORDS, "more"])
        save_nth_farthest("points")
    return folder


@pytest.fixture(autouse=True)
def own_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture
def client(own_folder):
    app = make_app(Catalogue(["text", "other", "foreign", "points"]))
    with TestClient(app, base_url="http://127.0.0.1:8123") as client:
        yield client


def events(answer):
    """The server-sent events of an answer."""
    found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", answer.text)
    assert "".join(f"event: {kind}\ndata: {data}\n\n" for kind, data in found) == answer.text
    return [(kind, json.loads(data)) for kind, data in found]


def error(answer):
    return answer.json()["error"]


def test_the_page_loads_only_its_own_files(client):
    page = client.get("/")
    assert page.status_code == 200
    pending = set(re.findall(r'(?:src|href)="([^"]+)"', page.text))
    assert all(path.startswith("/static/") for path in pending)
    seen = set()
    while pending:
        path = pending.pop()
        seen.add(path)
        file = client.get(path)
        assert file.status_code == 200, path
        pending |= {
            f"/static/{name}" for name in re.findall(r'from "\./([\w.]+)"', file.text)
        } - seen
        outside = re.sub(r"http://www\.w3\.org/2000/svg", "", file.text)
        assert not re.search(r"https?://|//[\w-]+\.\w", outside), path
    static = files("relational_rnn") / "show" / "static"
    own = {file.name for file in static.iterdir()}
    assert seen == {f"/static/{name}" for name in own | {"style.css", "viridis.js"}}


def test_the_page_has_no_inline_script_or_style(client):
    page = client.get("/").text
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", page)


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/runs", "/nothing"])
def test_every_answer_forbids_what_the_page_does_not_need(client, path):
    headers = client.get(path).headers
    for name, value in HEADERS.items():
        assert headers[name] == value
    assert headers["content-security-policy"].startswith("default-src 'none'; ")


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "0.0.0.0", ""])
@pytest.mark.parametrize("path", ["/", "/api/runs", "/static/main.js"])
def test_a_foreign_host_is_refused(client, host, path):
    refused = client.get(path, headers={"Host": host})
    assert refused.status_code == 400
    assert refused.text == "Invalid host header"
    assert "content-security-policy" in refused.headers


@pytest.mark.parametrize("host", ["127.0.0.1:8123", "localhost:8123", "localhost"])
def test_this_machine_is_not_refused(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/%2e%2e/config.yaml",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/page.html",
        "/static/__init__.py",
        "/static/",
        "/static",
        "/etc/passwd",
        "/runs/text/config.yaml",
        "/api/runs/text",
    ],
)
def test_no_other_file_can_be_reached(client, path):
    assert client.get(path, follow_redirects=False).status_code == 404


def test_runs_are_listed(client):
    rows = {row["id"]: row for row in client.get("/api/runs").json()}
    assert list(rows) == ["runs/text", "runs/other", "runs/foreign", "runs/points"]
    assert rows["runs/text"]["core"] == "rmc"
    assert rows["runs/points"]["best"] == 0.5


def test_curves_are_read(client):
    curves = client.get("/api/curves").json()
    assert curves["runs/text"]["valid"] == [[10, 1.5, 9.0], [20, 3.0, 8.0]]


def test_words_are_streamed(client):
    answer = client.post("/api/text", json=TEXT | {"words": 3})
    assert answer.headers["content-type"].startswith("text/event-stream")
    kinds, words = zip(*events(answer), strict=True)
    assert kinds == ("word",) * 6 + ("end",)
    assert [word["word"] for word in words[:3]] == ["↵", "the", "cat"]
    assert [word["drawn"] for word in words[:-1]] == [False] * 3 + [True] * 3


def test_unknown_words_are_noted(client):
    kind, note = events(client.post("/api/text", json=TEXT | {"prompt": "the zebra"}))[0]
    assert kind == "note"
    assert note.endswith("are read as <unk>: 'zebra'")


def test_a_text_is_continued_from_a_word(client):
    body = {"run": "runs/text", "tokens": [1, 0, 2], "known": 2, "words": 1, "temperature": 0.5}
    words = [data for kind, data in events(client.post("/api/text", json=body)) if kind == "word"]
    assert words[0]["id"] == 2
    assert words[0]["probability"] is not None
    assert len(words) == 2


def test_two_models_read_one_text(client):
    words = events(client.post("/api/text", json=TEXT | {"compare": "runs/other"}))
    assert words[1][1]["other"]["loss"] > 0


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"prompt": "a" * (LONGEST_PROMPT + 1)}, 413, "at most 2,000 characters, got 2,001"),
        ({"prompt": 3}, 422, "prompt: must be a text"),
        ({"prompt": "\ud800"}, 422, "the prompt: is not UTF-8"),
        ({"words": MOST_WORDS + 1}, 422, "words: must be a whole number from 0 to 160, got 161"),
        ({"words": 1.5}, 422, "words: must be a whole number"),
        ({"words": True}, 422, "words: must be a whole number"),
        ({"temperature": 0}, 422, "temperature: must be a number from 0.05 to 5.0, got 0"),
        ({"temperature": "hot"}, 422, "temperature: must be a number"),
        ({"run": "../text"}, 422, "run: '../text' is not shown"),
        ({"run": "runs/points"}, 422, "not language-modeling"),
        ({"compare": "runs/foreign"}, 422, "compare: the models must have the same vocabulary"),
        ({"compare": "nothing"}, 422, "run: 'nothing' is not shown"),
        ({"tokens": [99]}, 422, "tokens: must be integers from 0 to 11"),
        ({"tokens": [1] * 1001}, 413, "the text: must have at most 1,000 words, got 1,001"),
        ({"tokens": [1], "known": 2}, 422, "known: must be a whole number from 0 to 1, got 2"),
    ],
)
def test_texts_that_are_refused(client, body, status, said):
    # not json=: the client would not send half of a surrogate pair
    refused = client.post(
        "/api/text", content=json.dumps(TEXT | body), headers={"Content-Type": "application/json"}
    )
    assert refused.status_code == status
    assert said in error(refused)


def test_a_question_is_answered(client):
    example = client.post("/api/example", json={"run": "runs/points", "seed": 3}).json()
    answer = client.post("/api/answer", json={"run": "runs/points", **example}).json()
    assert len(answer["probabilities"]) == 4
    refused = client.post("/api/answer", json={"run": "runs/points", **example, "m": 9})
    assert refused.status_code == 422
    assert error(refused) == "m: must be an integer from 0 to 3"


@pytest.mark.parametrize("path", ["/api/text", "/api/example", "/api/answer"])
@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        ("{}", "text/plain", 415),  # what a form of another site can send
        ("{}", "application/x-www-form-urlencoded", 415),
        ("[1]", "application/json", 400),
        ("{", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ("{" + " " * 2**18 + "}", "application/json", 413),
        ("{}", "application/json; charset=utf-8", 422),
    ],
)
def test_requests_that_are_refused(client, path, content, kind, status):
    refused = client.post(path, content=content, headers={"Content-Type": kind})
    assert refused.status_code == status
    assert error(refused)


def test_other_methods_are_refused(client):
    assert client.get("/api/text").status_code == 405
    assert client.post("/", json={}).status_code == 405


def test_too_many_at_once_are_refused_and_their_places_become_free(client, monkeypatch):
    arrived = threading.Barrier(AT_ONCE + 1, timeout=30)
    leave = threading.Event()
    real = module.Catalogue.open

    def wait(self, *arguments):
        arrived.wait()
        leave.wait(30)
        return real(self, *arguments)

    body = {"run": "runs/points", "seed": 1}
    with monkeypatch.context() as patched:
        patched.setattr(module.Catalogue, "open", wait)
        codes = []

        def ask():
            codes.append(client.post("/api/example", json=body).status_code)

        threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        arrived.wait()
        refused = client.post("/api/example", json=body)
        leave.set()
        for thread in threads:
            thread.join()
    assert refused.status_code == 503
    assert error(refused) == "busy: 4 requests are at work; try again in a moment"
    assert codes == [200] * AT_ONCE
    assert client.post("/api/example", json=body).status_code == 200
    assert events(client.post("/api/text", json=TEXT))[-1] == ("end", None)


def test_a_model_that_fails_on_the_way_is_told(client, monkeypatch):
    def broken(*arguments, **options):
        yield {"word": "the"}
        raise module.UserError("the model: its scores are nan")

    monkeypatch.setattr(module, "read_on", broken)
    found = events(client.post("/api/text", json=TEXT))
    assert found[1:] == [("refused", "the model: its scores are nan"), ("end", None)]
