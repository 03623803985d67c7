"""The command serves this machine alone, and stops when it is told to."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from relational_rnn.cli import main

from .conftest import save_language


@pytest.fixture
def started():
    """The process of ``rrnn show``, and the address that it prints."""
    save_language("text")
    command = [sys.executable, "-m", "relational_rnn", "show", "text", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/) \(Ctrl-C stops\)\n", line)
    assert found, line + process.stderr.read()
    yield process, found[1]
    process.kill()
    process.communicate()


def test_it_shows_the_run_to_this_machine_and_stops_on_ctrl_c(started):
    process, address = started
    port = int(address.rsplit(":", 1)[1].strip("/"))
    with urllib.request.urlopen(address, timeout=30) as page:
        assert b"Relational RNN" in page.read()
    with urllib.request.urlopen(f"{address}api/runs", timeout=30) as runs:
        assert b'"runs/text"' in runs.read()
    # 127.0.0.2 is this machine as well, but not the address that is listened on.
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port)):
        pass
    # A user's connection that stays open does not hold it up.
    with socket.create_connection(("127.0.0.1", port)):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def one_line(capsys):
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.strip()


def test_a_port_in_use_is_one_line(capsys):
    save_language("text")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["show", "text", "--port", str(port)]) == 2
    assert one_line(capsys) == (
        f"error: --port: {port} is in use by another program; give another one, or 0 for any free "
        "one"
    )


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_does_not_exist(capsys, port):
    assert main(["show", "--port", port]) == 2
    assert one_line(capsys) == f"error: --port: must be from 0 to 65535, got {port}"


def test_a_run_that_does_not_exist(capsys):
    assert main(["show", "nothing"]) == 2
    assert one_line(capsys).startswith("error: nothing: no such run")


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_a_missing_extra_is_one_line(capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["show"]) == 2
    assert one_line(capsys) == (
        f"error: rrnn show: {package} is not installed; run: pip install starlette uvicorn"
    )
