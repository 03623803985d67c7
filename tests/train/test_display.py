"""The display of training progress."""

from rich.console import Console

from relational_rnn import progress as progress_module
from relational_rnn.progress import progress
from relational_rnn.train import display


def test_lines_come_every_few_seconds_and_tell_the_time_left(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    lines = display.Lines(total=300, start=100)
    for step in range(101, 126):
        now[0] += 1.0
        lines.step(step, "perplexity 7.00", "5 tokens/s")
    assert capsys.readouterr().out.splitlines() == [
        "step 110/300 · perplexity 7.00 · 5 tokens/s · 3:10 left",
        "step 120/300 · perplexity 7.00 · 5 tokens/s · 3:00 left",
    ]


def test_a_bar_on_a_terminal(monkeypatch):
    console = Console(force_terminal=True, width=120, record=True, file=None)
    monkeypatch.setattr(display, "Console", lambda: console)
    bar = display.open_display(10, 4)
    bar.say("best [so far]")
    bar.step(5, "perplexity 7.00", "5 tokens/s")
    bar.close()
    text = console.export_text()
    for part in ("best [so far]", "5/10", "perplexity 7.00", "5 tokens/s", "left"):
        assert part in text


def test_a_narrow_bar_cuts_no_number(monkeypatch):
    console = Console(force_terminal=True, width=56, record=True, file=None)
    monkeypatch.setattr(display, "Console", lambda: console)
    bar = display.open_display(100_000, 4)
    bar.step(12_345, "perplexity 1,234.56", "12,345 tokens/s")
    bar.close()
    text = console.export_text()
    for part in ("12345/100000", "perplexity 1,234.56"):
        assert part in text
    assert text.endswith("12345/100000 perplexity 1,234.56 --:-- left\n")


def test_lines_where_there_is_no_terminal(capsys):
    assert isinstance(display.open_display(10, 4), display.Lines)


def test_a_notice_goes_to_stderr(capsys):
    display.Lines(total=10, start=0).notify("stopping")
    assert capsys.readouterr() == ("", "stopping\n")


def test_the_bar_shows_a_long_validation(monkeypatch):
    console = Console(force_terminal=True, width=120, record=True, file=None)
    bar = display.Bar(console, 10, 4)
    bar.step(5, "perplexity 7.00", "5 tokens/s")
    monkeypatch.setattr(progress_module, "SHOW_AFTER", 0.0)
    with bar.during_validation(), progress("validating", total=5) as advance:
        advance(2)
        [task] = bar.progress.tasks
        assert task.fields["quality"] == "validating 40%"
    bar.step(6, "perplexity 6.00", "5 tokens/s")
    fields = bar.progress.tasks[0].fields
    assert (fields["quality"], fields["speed"]) == ("perplexity 6.00", "· 5 tokens/s")
    bar.close()


def test_lines_of_a_long_validation_go_to_stderr(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "SHOW_AFTER", 0.0)
    lines = display.Lines(total=10, start=0)
    with lines.during_validation(), progress("validating", total=5, unit="tokens") as advance:
        advance(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("validating: 40% · 2 of 5 tokens")
