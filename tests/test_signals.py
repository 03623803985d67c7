"""Signals: raised at once, deferred, or raised again; the earlier handlers are restored."""

import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from relational_rnn.signals import SIGNALS, Interrupted, Stopper, exiting_at_once


@pytest.fixture(autouse=True)
def _handlers():
    """Python's own handlers, whatever the tests were started with."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_raises_at_once_and_restores_the_handlers():
    for number in SIGNALS:
        with pytest.raises(Interrupted) as raised, Stopper():
            signal.raise_signal(number)
        assert raised.value.number == number
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_first_is_deferred_and_acknowledged_and_the_second_raises():
    acknowledged = threading.Event()
    with Stopper() as stopper:
        stopper.defer(lambda number: acknowledged.set())
        signal.raise_signal(signal.SIGINT)
        assert stopper.caught == signal.SIGINT
        assert acknowledged.wait(10)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted):
            stopper.check()


def test_a_sigterm_that_comes_twice_at_once_is_one():
    with Stopper() as stopper:
        stopper.defer(lambda number: None)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        stopper._time -= 10
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)


def test_after_deferring_a_signal_raises_again():
    with Stopper() as stopper:
        stopper.defer(lambda number: None)
        stopper.resume_raising()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)


def test_an_inner_block_knows_what_the_outer_one_caught():
    with Stopper() as outer:
        outer.caught = signal.SIGINT  # swallowed by a library
        with Stopper() as inner, pytest.raises(Interrupted):
            inner.check()


@pytest.mark.parametrize("number", SIGNALS)
def test_an_ignored_signal_stays_ignored(number):
    # nohup ignores SIGHUP, and a shell script ignores SIGINT in its background commands.
    signal.signal(number, signal.SIG_IGN)
    with Stopper() as stopper:
        signal.raise_signal(number)
        with exiting_at_once():
            signal.raise_signal(number)
        signal.signal(number, signal.default_int_handler)  # as Lightning does
        stopper.install()
        signal.raise_signal(number)
        assert not stopper.caught
    assert signal.getsignal(number) is signal.SIG_IGN


def test_another_thread_catches_nothing():
    def enter():
        with Stopper():
            found.append(signal.getsignal(signal.SIGINT))

    found = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


@pytest.mark.parametrize("number", SIGNALS)
def test_imports_end_at_once(tmp_path, number):
    code = """
import os, sys
from pathlib import Path
from relational_rnn.signals import exiting_at_once
with exiting_at_once(Path(sys.argv[1]).rmdir):
    try:
        os.kill(os.getpid(), int(sys.argv[2]))
    except BaseException:
        print("swallowed")
"""
    folder = tmp_path / "run"
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(int(number))], capture_output=True
    )
    assert (ended.returncode, ended.stdout) == (128 + number, b"")
    assert ended.stderr == (b"interrupted\n" if number == signal.SIGINT else b"")
    assert not folder.exists()


def test_output_to_a_closed_terminal_is_discarded():
    code = """
import signal, sys, time
from relational_rnn.signals import Interrupted, Stopper
with Stopper() as stopper:
    stopper.defer(lambda number: None)
    print("ready", flush=True)
    while not stopper.caught:
        time.sleep(0.01)
    print("saved", flush=True)
"""
    terminal, other_end = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=other_end, stderr=other_end)
    os.close(other_end)
    shown = b""
    while b"\n" not in shown:
        shown += os.read(terminal, 100)
    os.close(terminal)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 0
