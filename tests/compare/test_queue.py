"""What a comparison runs, in which order, and what it does again."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from relational_rnn.compare.queue import Queue
from relational_rnn.errors import FullDiskError, UserError
from relational_rnn.sweep.runner import Runner

from .conftest import SMALL


def begun(name, folder="runs/tiny"):
    """How many times a run was begun."""
    path = Path(folder) / name / "begun.txt"
    return path.read_text(encoding="utf-8").count("begun") if path.exists() else 0


def test_all_rates_with_the_first_seed_then_the_best_with_the_others(make_suite, run_suite):
    queue, said = run_suite(make_suite())
    started = [line.split(" -> runs/tiny/")[1] for line in said if " started: " in line]
    first = [f"parity-{core}-{rate}-1" for core in ("rmc", "lstm") for rate in (0.01, 0.001)]
    assert started[:4] == first
    others = [f"parity-{core}-0.01-{seed}" for core in ("rmc", "lstm") for seed in (2, 3)]
    assert sorted(started[4:]) == sorted(others)
    assert queue.best_rate("parity", "rmc") == 0.01
    assert [cell.seed for cell in queue.chosen("parity", "lstm")] == [1, 2, 3]
    assert queue.over


def test_run_again_it_trains_nothing(make_suite, run_suite):
    run_suite(make_suite())
    _, said = run_suite(make_suite())
    assert said == []
    assert begun("parity-rmc-0.01-1") == 1


def test_of_equal_accuracies_the_lower_loss_is_best(make_suite, run_suite):
    queue, _ = run_suite(make_suite(learning_rates=[0.003, 0.002], seeds=[1]))
    path = queue.run(queue.cells[1]).summary_path
    path.write_text(path.read_text("utf-8").replace('"loss": 0.5', '"loss": 0.4'), "utf-8")
    assert queue.best_rate("parity", "rmc") == 0.002


def test_a_run_that_fails_is_not_run_again(make_suite, run_suite):
    cores = {"rmc": {"head_size": 12, "num_heads": 2}, "gru": {}}
    queue, said = run_suite(make_suite(cores=cores))
    assert queue.best_rate("parity", "gru") is None
    assert queue.chosen("parity", "gru") == []
    failed = [cell for cell in queue.cells if queue.error(cell) is not None]
    assert [cell.name for cell in failed] == ["parity-gru-0.01-1", "parity-gru-0.001-1"]
    assert queue.error(failed[0]) == "no such core here"
    assert sum("failed: no such core here" in line for line in said) == 2
    assert run_suite(make_suite(cores=cores))[1] == []


def test_stopped_and_started_again_it_resumes(make_suite, run_suite):
    suite = make_suite(seeds=[1], learning_rates=[0.01])
    hold = Path("hold-parity-rmc-0.01-1")
    hold.touch()
    queue = Queue(suite, Path("runs/tiny"))

    def interrupt():
        while not begun("parity-rmc-0.01-1"):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt).start()
    assert Runner(queue, workers=1, say=lambda text: None).run() == signal.SIGTERM
    assert not queue.over
    hold.unlink()
    _, said = run_suite(suite)
    assert said[0].startswith("parity-rmc-0.01-1 resumed: task parity · core rmc")
    assert (begun("parity-rmc-0.01-1"), begun("parity-lstm-0.01-1")) == (2, 1)


def test_a_run_of_another_process_is_left_alone(make_suite):
    queue, other = (Queue(make_suite(), Path("runs/tiny")) for _ in range(2))
    taken = queue.acquire()
    assert taken.number == 0
    assert not taken.resumed
    assert other.acquire().number == 1
    taken.release()
    assert other.acquire().number == 0


def test_another_suite_in_the_same_folder(make_suite, run_suite):
    run_suite(make_suite())
    changed = make_suite(cores={"rmc": {"head_size": 13, "num_heads": 2}, "lstm": {}})
    with pytest.raises(UserError, match="was trained with another suite: its head_size"):
        Queue(changed, Path("runs/tiny"))
    with pytest.raises(UserError, match="is a run, not a comparison; choose another --run"):
        Queue(changed, Path("runs/tiny/parity-rmc-0.01-1"))


def test_a_run_from_before_a_field_has_its_default(make_suite, run_suite):
    queue, _ = run_suite(make_suite())
    for path in queue.folder.glob("*/config.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("muon_rms:")]
        assert len(kept) == len(lines) - 1
        path.write_text("".join(kept), encoding="utf-8")
    assert Queue(make_suite(), queue.folder).over
    rmc = {"head_size": 12, "num_heads": 2, "muon_rms": 0.3}
    with pytest.raises(UserError, match=r"its muon_rms is 0\.2, this suite's is 0\.3"):
        Queue(make_suite(cores={"rmc": rmc, "lstm": {}}), queue.folder)


def test_another_interval_of_the_log_is_another_suite(make_suite, run_suite):
    # A curriculum follows the logged loss.
    run_suite(make_suite())
    changed = make_suite(fields=SMALL | {"log_every": 7})
    with pytest.raises(UserError, match="was trained with another suite: its log_every is"):
        Queue(changed, Path("runs/tiny"))


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"valid": {}}, "accuracy of valid"),
        ({"test": {"accuracy": None}}, "accuracy of test"),
        ({"valid": {"accuracy": 0.5}}, "loss of valid"),
        ({"parameters": None}, "parameters"),
        ({"cpu_seconds": "1"}, "cpu_seconds"),
        ({"cpu_seconds": True}, "cpu_seconds"),
        ({"machine": 5}, "machine and versions"),
        ({"versions": None}, "machine and versions"),
        ({"by_difficulty": "length"}, "accuracy by_difficulty"),
        ({"by_difficulty": [{"length": 8}]}, "accuracy by_difficulty"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else None,
)
def test_a_broken_summary_is_named(make_suite, run_suite, change, missing):
    queue, _ = run_suite(make_suite(seeds=[1]))
    path = queue.run(queue.cells[0]).summary_path
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), encoding="utf-8")
    with pytest.raises(UserError, match=rf"summary\.json: broken: it has no {missing}$"):
        queue.best_rate("parity", "rmc")


def test_damaged_folders(make_suite, run_suite):
    queue, _ = run_suite(make_suite(seeds=[1]))
    first, second = (queue.run(cell).folder for cell in queue.cells[:2])
    (first / "failed.txt").write_bytes(b"out of \xff")
    assert queue.error(queue.cells[0]) == "out of \ufffd"
    shutil.rmtree(second)
    second.touch()
    with pytest.raises(UserError, match=f"{second}: cannot be written: File exists"):
        queue.acquire()


def test_a_full_disk_stops_the_comparison_and_fails_no_run(make_suite, run_suite):
    suite = make_suite(seeds=[1])
    Path("full-parity-lstm-0.001-1").touch()
    queue, said = Queue(suite, Path("runs/tiny")), []
    with pytest.raises(FullDiskError, match=r"^last\.ckpt: the disk is full; then give the same"):
        Runner(queue, workers=1, say=said.append).run()
    assert not queue.over
    assert not any("failed" in line or "waiting" in line for line in said)
    Path("full-parity-lstm-0.001-1").unlink()
    queue, said = run_suite(suite)
    assert said[0].startswith("parity-lstm-0.001-1 resumed: ")
    assert queue.best_rate("parity", "lstm") == 0.01


def test_a_disk_too_full_for_the_message(make_suite):
    for name in ("full-parity-rmc-0.01-1", "full-log"):
        Path(name).touch()
    queue = Queue(make_suite(), Path("runs/tiny"))
    with pytest.raises(FullDiskError, match=r"^runs/tiny/parity-rmc-0.01-1: the disk is full; "):
        Runner(queue, workers=1, say=lambda text: None).run()
