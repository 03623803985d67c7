import errno
import signal
import subprocess
import sys

import pytest

from relational_rnn import lock as module
from relational_rnn.errors import UserError
from relational_rnn.lock import Lock, LocksUnsupportedError


def test_one_at_a_time(tmp_path):
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()


def test_a_process_that_was_given_it_holds_it_too(tmp_path):
    lock = Lock(tmp_path / "lock")
    assert lock.take()
    code = "input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, pass_fds=(lock.descriptor,)
    )
    lock.release()
    assert not lock.take()
    child.communicate(b"\n")
    assert lock.take()
    lock.release()


def test_a_killed_process_releases_it_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from relational_rnn.lock import Lock\n"
        "assert Lock(Path(sys.argv[1])).take(); print('held', flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        assert not Lock(tmp_path / "lock").take()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert Lock(tmp_path / "lock").take()


def test_a_file_system_without_locks_is_an_error_of_one_line(tmp_path, monkeypatch):
    def missing(descriptor, *, blocking):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(module, "lock_descriptor", missing)
    message = "lock: cannot be locked: Function not implemented"
    with pytest.raises(LocksUnsupportedError, match=message):
        Lock(tmp_path / "lock").take()


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_other_failures_are_not_taken_for_a_file_system_without_locks(tmp_path, monkeypatch, code):
    def failing(descriptor, *, blocking):
        raise OSError(code, "broken")

    monkeypatch.setattr(module, "lock_descriptor", failing)
    with pytest.raises(UserError, match="lock: cannot be locked: broken") as caught:
        Lock(tmp_path / "lock").take()
    assert not isinstance(caught.value, LocksUnsupportedError)


def test_waits_in_a_with_statement(tmp_path):
    with Lock(tmp_path / "lock"):
        assert not Lock(tmp_path / "lock").take()
    assert Lock(tmp_path / "lock").take()
