import os
import signal
import subprocess
import sys

import pytest

from relational_rnn.errors import UserError
from relational_rnn.lock import Lock
from relational_rnn.tasks.language_modeling import open_corpus
from relational_rnn.tasks.language_modeling.private_folder import private_folder, remove_leftovers

PREPARE = """
import sys, time
from relational_rnn.tasks.language_modeling import corpus

def write(source, folder):
    (folder / "train.bin").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)

corpus._write = write
from relational_rnn.cli import main
sys.exit(main(["data", sys.argv[1]]))
"""
NAME = "text-0123456789abcdef-1"


@pytest.fixture
def preparing(folder, cache):
    """A process that prepares the text, and is not finished."""
    command = [sys.executable, "-c", PREPARE, str(folder)]
    environment = {**os.environ, "RRNN_CACHE": str(cache)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


def private(cache):
    return [path for path in (cache / "corpora").iterdir() if path.name.startswith(".")]


def test_the_folder_of_a_killed_process_is_removed_by_the_next(preparing, folder, cache):
    (left,) = private(cache)
    open_corpus(str(folder), cache_dir=cache)
    assert private(cache) == [left]  # its process lives
    preparing.kill()
    preparing.wait()
    assert private(cache) == [left]
    open_corpus(str(folder), cache_dir=cache)
    assert private(cache) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_process_that_is_asked_to_stop_removes_it(preparing, cache, name):
    number = getattr(signal, name)
    preparing.send_signal(number)
    assert preparing.wait(timeout=30) == 128 + number
    assert private(cache) == []


def ended_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_without_a_lock_file_the_process_is_asked_for(cache):
    corpora = cache / "corpora"
    gone, alive = (corpora / f".{NAME}.{pid}.00000000" for pid in (ended_process(), os.getpid()))
    others = [corpora / NAME, corpora / ".other", corpora / f".{NAME}.1.tmp"]
    for path in (gone, alive, *others):
        path.mkdir(parents=True)
    remove_leftovers(cache)
    assert set(corpora.iterdir()) == {alive, *others}


def test_a_file_system_without_locks(cache, monkeypatch):
    def take(lock, *, wait=False):
        raise UserError(f"{lock.path}: cannot be locked")

    monkeypatch.setattr(Lock, "take", take)
    gone = cache / "corpora" / f".{NAME}.{ended_process()}.00000000"
    gone.mkdir(parents=True)
    (gone / ".writing").touch()
    with private_folder(cache / "corpora" / NAME) as folder:
        remove_leftovers(cache)
        assert private(cache) == [folder]
    assert private(cache) == []


def test_no_cache_yet(cache):
    remove_leftovers(cache)
    assert not cache.exists()


def test_temporary_files(cache):
    places = [cache / "stamps", cache / "corpora" / NAME]
    for place in places:
        place.mkdir(parents=True)
        for name in (".a.1.tmp", ".b.1.tmp", "c"):
            (place / name).touch()
        os.utime(place / ".a.1.tmp", (1, 1))
    remove_leftovers(cache)
    for place in places:
        assert sorted(path.name for path in place.iterdir()) == [".b.1.tmp", "c"]
