"""Learning curves: what is drawn, and how it is scaled."""

import io
import warnings

import pytest
from matplotlib.font_manager import fontManager

from relational_rnn.report.curves import draw
from relational_rnn.report.figures import as_png, as_svg
from relational_rnn.report.record import read


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


def test_a_perplexity_that_is_none_does_not_scale(make_run):
    rows = ["1,0,1,1,0.1,3,20,3,-1,1", "2,0,2,2,0.1,3,20,3,40,1"]
    assert draw([read(make_run(rows=rows))]).axes[1].get_yscale() == "linear"


def test_every_run_is_in_the_legend(make_run):
    names = ["_first", "second", "__x", "_"]
    figure = draw([read(make_run(name)) for name in names])
    found = [text.get_text() for text in figure.legends[0].get_texts()]
    assert found == [f"{name}  (best perplexity 81.5)" for name in names]
    picture = as_svg(figure)
    assert all(f">{text}</text>" in picture for text in found)


@pytest.fixture
def without_fonts(monkeypatch):
    monkeypatch.setattr(fontManager, "ttflist", [])


def test_letters_that_the_usual_font_lacks_are_drawn_in_another(make_run, capsys):
    figure = draw([read(make_run("ᶁᶄ"))])  # in STIX, which comes with matplotlib
    own = as_png(figure)
    families = figure.legends[0].get_texts()[0].get_fontfamily()
    assert len(families) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO())
    assert own.startswith(b"\x89PNG")
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("without_fonts")
def test_letters_that_no_font_has_are_noted(make_run, capsys):
    assert as_png(draw([read(make_run("日本"))])).startswith(b"\x89PNG")
    err = capsys.readouterr().err
    assert err.startswith("note: no installed font has 日 本; the picture shows boxes instead; ")
    assert err.count("\n") == 1


def test_usual_letters_are_no_reason_for_another_font(make_run, capsys):
    figure = draw([read(make_run("größe № 1"))])
    as_png(figure)
    assert figure.legends[0].get_texts()[0].get_fontfamily() == ["sans-serif"]
    assert capsys.readouterr().err == ""


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


def test_seeds_of_one_configuration_share_a_colour(make_run):
    seeds = [make_run(f"rmc-{seed}", name="rmc", seed=seed) for seed in (1, 2)]
    other = make_run("lstm-1", name="lstm", seed=1)
    lines = draw([read(folder) for folder in (*seeds, other)]).axes[0].lines
    looks = [(line.get_color(), line.get_linestyle()) for line in lines]
    assert looks == [("#0072B2", "-"), ("#0072B2", "--"), ("#D55E00", "-")]
