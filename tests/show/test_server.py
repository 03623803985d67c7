"""The command serves this machine alone, and stops when it is told to."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from relational_rnn.cli import main

from .conftest import save_language


@pytest.fixture
def start():
    """Start ``rrnn show`` and return its process and the address that it prints."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-m", "relational_rnn", "show", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        line = process.stdout.readline()
        found = re.fullmatch(r"(http://127\.0\.0\.1:\d+/) \(Ctrl-C stops\)\n", line)
        assert found, line + process.stderr.read()
        return process, found[1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_it_shows_the_run_and_stops_on_ctrl_c(start):
    save_language("text")
    process, address = start("text", "--port", "0")
    with urllib.request.urlopen(address, timeout=10) as page:
        assert b"Relational RNN" in page.read()
    with urllib.request.urlopen(f"{address}api/runs", timeout=10) as runs:
        assert b'"runs/text"' in runs.read()
    # A visitor's connection that stays open does not hold it up.
    port = int(address.rsplit(":", 1)[1].strip("/"))
    with socket.create_connection(("127.0.0.1", port)):
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
    assert time.monotonic() - before < 10


def test_it_listens_on_this_machine_only(start):
    save_language("text")
    _, address = start("text", "--port", "0")
    port = int(address.rsplit(":", 1)[1].strip("/"))
    own = socket.gethostbyname(socket.gethostname())
    if own.startswith("127.0.0.1"):
        own = "127.0.0.2"  # also this machine, but not the address
    with pytest.raises(OSError), socket.create_connection((own, port), timeout=5):  # noqa: PT011
        pass


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
def test_a_missing_extra_is_one_line(tmp_path, package):
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == '{package}':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from relational_rnn.cli import main\n"
        "sys.exit(main(['show']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: rrnn show: {package} is not installed; run: pip install 'relational-rnn[show]'\n"
    )
