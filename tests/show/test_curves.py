"""Curves are what metrics.csv says, as far as it is written."""

from relational_rnn.show.curves import MOST_POINTS, curves

from .conftest import save_language, save_nth_farthest


def test_points_are_the_rows_of_the_file():
    found = curves(save_language("text"))
    assert (found["measure"], found["lower"]) == ("perplexity", True)
    assert found["train"] == [(10, 1.5, 2.5), (20, 3.0, 2.0)]
    assert found["valid"] == [(10, 1.5, 9.0), (20, 3.0, 8.0)]
    assert curves(save_nth_farthest("points"))["measure"] == "accuracy"


def test_a_row_that_is_written_later_is_read():
    run = save_language("text")
    assert len(curves(run)["train"]) == 2
    with open(run.metrics_path, "a", encoding="utf-8") as file:
        file.write("30,1050,4.5,1.5,\n")
    assert curves(run)["train"][-1] == (30, 4.5, 1.5)
    assert curves(run)["valid"][-1] == (20, 3.0, 8.0)


def test_long_curves_are_thinned_and_end_where_they_end():
    run = save_language("text")
    rows = "".join(f"{step},{step},{step}.0,2.0,\n" for step in range(1, 1302))
    header = "step,tokens,seconds,train_loss,valid_perplexity\n"
    run.metrics_path.write_text(header + rows, encoding="utf-8")
    points = curves(run)["train"]
    assert MOST_POINTS / 2 < len(points) <= MOST_POINTS
    assert points[-1] == (1301, 1301.0, 2.0)


def test_a_run_without_metrics_yet_says_so():
    run = save_language("text")
    run.metrics_path.write_text("step,tokens,seconds,train_loss,valid_perplexity\n")
    assert "no rows yet" in curves(run)["error"]
    run.metrics_path.unlink()
    assert curves(run)["error"] == "runs/text: has written no metrics yet"
