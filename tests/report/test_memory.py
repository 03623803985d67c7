"""The picture and the page of a memory."""

import json
import re

import pytest
import torch
from PIL import Image

from relational_rnn.inspection import Inspection
from relational_rnn.report.memory import draw_memory, what_to_see, write_memory


def seen(steps=5, slots=3, gates=True):
    torch.manual_seed(0)
    attention = torch.randn(steps, 1, 2, slots + 1, slots + 1).softmax(dim=-1)
    gate = torch.rand(steps, slots) if gates else None
    words = [f"<w{number}>" for number in range(steps)]
    return Inspection("a <title>", words, attention, slots, gate, gate)


@pytest.mark.parametrize("gates", [True, False], ids=["gates", "no gates"])
@pytest.mark.parametrize("slots", [1, 3])
def test_files(tmp_path, slots, gates):
    picture, page = write_memory(seen(slots=slots, gates=gates), tmp_path / "new")
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert image.width > 1000
    assert page.read_text(encoding="utf-8").endswith("</html>\n")


def test_strips_are_the_attention_to_the_input():
    one = seen()
    strip = draw_memory(one).subfigs[0].axes[0].images[0].get_array().data
    expected = one.attention[:, 0].mean(dim=1)[:, :3, 3].T  # [slots, steps]
    assert strip == pytest.approx(expected.numpy())


def test_matrices_name_their_slots():
    figure = draw_memory(seen())
    for axes in [axes for axes in figure.subfigs[1].axes if axes.images]:
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == ["slot 0", "slot 1", "slot 2"]


def test_long_texts_show_some_of_their_steps():
    figure = draw_memory(seen(steps=50))
    shown = [axes.get_title() for axes in figure.subfigs[1].axes if axes.images]
    assert shown[:2] == ["<w0>", "<w4>"]
    assert len(shown) <= 16


def test_longer_texts_make_the_picture_no_wider():
    one, more = (draw_memory(seen(steps=steps, slots=1)) for steps in (500, 3000))
    assert one.get_figwidth() == more.get_figwidth() == 60
    words = [label.get_text() for label in one.axes[0].get_xticklabels()]
    assert words[:3] == ["<w0>", "<w4>", "<w8>"]


def test_letters_that_the_font_lacks_are_no_warning(tmp_path):
    write_memory(seen()._replace(title="日本"), tmp_path)


def test_page_stands_alone_with_all_the_numbers(tmp_path):
    one = seen()
    page = write_memory(one, tmp_path)[1].read_text(encoding="utf-8")
    assert not re.findall(r"<(?:link|img|iframe)\b|@import|url\(|src=", page)
    assert "a &lt;title&gt;" in page
    assert page.count('<button type="button">&lt;w') == 5
    data = json.loads(re.search(r"const data = (\{.*?\});", page)[1])
    assert data["rows"] == ["slot 0", "slot 1", "slot 2", "input"]
    assert data["attention"][2][0][1][0] == pytest.approx(
        (one.attention[2, 0, 1, 0] * 1000).tolist(), abs=0.6
    )


def test_a_sentence_says_what_to_see():
    attention = torch.full((3, 1, 1, 2, 2), 0.5)
    attention[1, 0, 0, 0] = torch.tensor([0.1, 0.9])
    attention[2, 0, 0, 0] = torch.tensor([0.8, 0.2])
    gate = torch.tensor([[0.2], [0.3], [0.4]])
    one = Inspection("title", ["a", "b", "c"], attention, 1, gate, gate + 0.5)
    most, least = "step 2, “b” (0.90)", "step 3, “c” (0.20)"
    assert what_to_see(one) == (
        f"The memory attends most to the input at {most}, and least at {least}; its input gate "
        "averages 0.30 (1 writes the whole candidate memory) and its forget gate 0.80 (1 keeps the "
        "whole previous memory)."
    )
    without = one._replace(attention=attention[1:2], steps=["b"], input_gate=None, forget_gate=None)
    assert what_to_see(without) == ("The memory attends most to the input at step 1, “b” (0.90).")
    assert "Brighter means more" in draw_memory(one).get_supxlabel()
