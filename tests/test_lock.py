import subprocess
import sys

from relational_rnn.lock import Lock


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
