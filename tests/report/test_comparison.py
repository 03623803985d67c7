import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from PIL import Image
from rich.console import Console

from relational_rnn.errors import UserError
from relational_rnn.report import as_table, write_report
from relational_rnn.report.comparison import best, cells, differences
from relational_rnn.report.curves import draw
from relational_rnn.report.figures import as_svg
from relational_rnn.report.formatting import duration
from relational_rnn.report.record import labels, read

WORSE = ("10,0,1000,2.5,0.001,5.0,148.4,,200.0,400.0", "20,1,2000,5.0,0.001,4.0,54.6,,95.0,400.0")


@pytest.fixture
def two_runs(make_run):
    return [
        make_run("first", learning_rate=0.001),
        make_run("se<co>&nd", rows=WORSE, summary=False, model="lstm", learning_rate=0.004),
    ]


def test_files(two_runs, tmp_path):
    report = write_report(two_runs, tmp_path / "new" / "report")
    with Image.open(report.picture) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1500
    again = write_report(two_runs, tmp_path / "new" / "report")
    assert again.picture == report.picture
    assert sorted(path.name for path in report.page.parent.iterdir()) == [
        "curves.png",
        "report.html",
    ]


def test_page_stands_alone_and_is_well_formed(two_runs, tmp_path):
    page = write_report(two_runs, tmp_path).page.read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img|iframe)\b|@import|url\((?!#)", page)
    assert "se<co>" not in page
    assert page.count("se&lt;co&gt;&amp;nd") >= 2
    ElementTree.fromstring(re.search(r"<svg.*</svg>", page, re.DOTALL)[0])
    opened = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Balance().feed(page)
    assert opened == []


def test_page_shows_results_and_differences(two_runs, tmp_path):
    page = write_report(two_runs, tmp_path).page.read_text(encoding="utf-8")
    assert '<td class="best">80.25</td>' in page
    assert '<td class="best">77.12</td>' in page
    assert "<td>learning_rate</td><td>0.001</td><td>0.004</td>" in page


def test_curves_are_the_metrics(two_runs):
    train, over_tokens, over_time = draw([read(folder) for folder in two_runs]).axes
    assert train.lines[0].get_xydata().tolist() == [
        [1000, 5.0],
        [2000, 4.0],
        [3000, 3.5],
        [4000, 3.0],
    ]
    assert over_tokens.lines[0].get_xydata().tolist() == [[2000, 90.0], [4000, 81.5]]
    assert over_time.lines[0].get_xydata().tolist() == [[5.0, 90.0], [90.0, 81.5]]
    assert over_time.get_xlabel() == "seconds of training"
    assert {line.get_color() for line in train.lines} == {"#0072B2", "#D55E00"}


def test_time_is_told_in_a_fitting_unit(make_run):
    rows = [f"{n},0,{n},{n * 3600},0.1,3,20,3,{20 - n},1" for n in (1, 2, 3)]
    axes = draw([read(make_run(rows=rows))]).axes[2]
    assert axes.get_xlabel() == "hours of training"
    assert axes.lines[0].get_xdata().tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("worst", "scale"), [(80, "linear"), (800, "log")])
def test_wide_perplexities_get_a_logarithmic_axis(make_run, worst, scale):
    rows = [f"1,0,1,1,0.1,3,20,3,{worst},1", "2,0,2,2,0.1,3,20,3,40,1"]
    figure = draw([read(make_run(rows=rows))])
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", scale, scale]


def test_many_runs_stay_apart(make_run):
    records = [read(make_run(f"run-{number}")) for number in range(9)]
    looks = [(line.get_color(), line.get_linestyle()) for line in draw(records).axes[0].lines]
    assert len(set(looks)) == 9


def test_a_run_without_validation_yet_is_drawn(make_run):
    record = read(make_run(rows=["10,0,1000,2.5,0.001,5.0,148.4,,,400.0"], summary=False))
    assert len(draw([record]).axes[1].lines[0].get_xdata()) == 0


def test_picture_is_the_same_for_the_same_runs(two_runs):
    records = [read(folder) for folder in two_runs]
    assert as_svg(draw(records)) == as_svg(draw(records))


def test_accuracy(make_run, tmp_path):
    header = "step,seconds,train_loss,valid_accuracy"
    folders = [
        make_run(name, task="nth-farthest", header=header, rows=rows, summary=False)
        for name, rows in {"a": ["1,1,2,0.25", "2,2,1,0.75"], "b": ["1,1,2,0.9"]}.items()
    ]
    report = write_report(folders, tmp_path)
    figure = draw(report.records)
    assert figure.axes[0].get_xlabel() == "steps"
    assert figure.axes[1].get_ylabel() == "accuracy"
    assert best(report.records, "valid") == 1
    assert "higher is better" in report.page.read_text(encoding="utf-8")
    assert cells(report.records)[0][-2:] == ["0.7500", "–"]


@pytest.mark.parametrize(
    ("objects", "lines"),
    [pytest.param([4, 4], 2, id="one task"), pytest.param([4, 5], 0, id="of two sizes")],
)
def test_plateaus_of_nth_farthest(make_run, objects, lines):
    kind = {"task": "nth-farthest", "features": 2, "header": "step,seconds,valid_accuracy"}
    records = [
        read(make_run(f"run-{number}", objects=size, rows=["1,1,0.25"], **kind))
        for number, size in enumerate(objects)
    ]
    assert len(draw(records).axes[1].lines) == len(records) + lines


def test_table(two_runs):
    records = [read(folder) for folder in two_runs]
    assert cells(records) == [
        ["first", "rmc", "1.23 M", "4,000", "1.5 min", "457", "80.25", "77.12"],
        ["se<co>&nd (unfinished)", "lstm", "–", "2,000", "5.0 s", "400", "95.00", "–"],
    ]
    shown = io.StringIO()
    Console(width=80, file=shown).print(as_table(records))
    assert "80.25  77.12" in shown.getvalue()
    assert "…" not in shown.getvalue()
    assert differences(records) == [
        ("model", ["rmc", "lstm"]),
        ("learning_rate", ["0.001", "0.004"]),
    ]


def test_runs_of_one_name_are_told_apart(make_run):
    records = [read(make_run(name)) for name in ("a/same", "b/same", "other")]
    first, second, third = labels(records)
    assert first.endswith("runs/a/same")
    assert second.endswith("runs/b/same")
    assert third == "other"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0, "0.0 s"), (59.9, "59.9 s"), (90, "1.5 min"), (5400, "1.50 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_runs_of_different_tasks_are_refused(make_run, tmp_path):
    folders = [make_run("a"), make_run("b", task="programs")]
    with pytest.raises(UserError, match="its task is programs"):
        write_report(folders, tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_output_that_is_a_file(make_run, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="taken: cannot be created"):
        write_report([make_run()], tmp_path / "taken")


def test_accuracy_is_drawn_against_the_plateaus(make_run):
    header = "step,epoch,examples,seconds,train_loss,valid_accuracy"
    rows = ("10,0,640,2.5,0.9,0.55", "20,0,1280,5.0,0.8,0.75")
    fields = {"task": "nth-farthest", "objects": 4, "features": 4}
    folders = [make_run(name, header=header, rows=rows, **fields) for name in ("one", "two")]
    _, over_steps, over_time = draw([read(folder) for folder in folders]).axes
    for axes in (over_steps, over_time):
        texts = [text.get_text() for text in axes.texts]
        assert texts[0] == "answers m, else guesses: 50.0%"
        assert texts[1].startswith("ranks by length alone: 59.")
    other = make_run("other", header=header, rows=rows, **(fields | {"objects": 5}))
    _, mixed, _ = draw([read(folders[0]), read(other)]).axes
    assert not mixed.texts, "the plateaus are not the same"
