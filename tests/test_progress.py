"""Progress on stderr: silent at first, then a bar or lines."""

import pytest

from relational_rnn import progress as module
from relational_rnn.progress import duration, hidden, progress, shown_by


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def work(clock, seconds):
    with progress("evaluating", total=seconds, unit="tokens") as advance:
        for _ in range(seconds):
            clock[0] += 1.0
            advance(1)


def test_short_work_stays_silent(clock, capsys):
    work(clock, 1)
    assert capsys.readouterr() == ("", "")


def test_lines_elsewhere(clock, capsys):
    work(clock, 20)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "evaluating: 10% · 2 of 20 tokens · 0:18 left",
        "evaluating: 60% · 12 of 20 tokens · 0:08 left",
    ]


def test_a_bar_on_a_terminal(clock, capsys, monkeypatch):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    work(clock, 20)
    out, err = capsys.readouterr()
    assert out == ""
    assert "evaluating" in err
    assert "20/20" in err


def test_hidden_inside_another_display(clock, capsys):
    with hidden():
        work(clock, 20)
    with progress("outer", total=1):
        work(clock, 20)
    assert capsys.readouterr().err == ""


def test_shown_by_another_display(clock, capsys):
    shown = []
    with shown_by(shown.append):
        work(clock, 1)
        work(clock, 5)
        with progress("outer", total=1):
            work(clock, 5)
    assert shown == ["evaluating 40%", "evaluating 60%", "evaluating 80%", "evaluating 100%"]
    assert capsys.readouterr() == ("", "")
    work(clock, 5)
    assert "evaluating: 40%" in capsys.readouterr().err


def test_only_the_first_process_shows_it(clock, capsys, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    work(clock, 20)
    assert capsys.readouterr().err == ""


def test_durations():
    assert duration(59.6) == "1:00"
    assert duration(3 * 3600 + 62) == "3:01:02"
