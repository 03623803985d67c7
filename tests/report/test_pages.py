"""Templates: what every page has in common."""

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from relational_rnn.report.pages import render

RUNS = {
    "task": "a <task>",
    "measure": "perplexity",
    "lower_is_better": True,
    "columns": ["run"],
    "rows": [["a & b"]],
    "best": {(0, 0)},
    "picture": Markup("<svg></svg>"),
    "names": ["a & b"],
    "differences": [],
    "warning": None,
}


def test_text_is_escaped_and_markup_is_not():
    page = render("runs.html", **RUNS)
    assert "<title>a &lt;task&gt;: learning curves</title>" in page
    assert '<td class="best">a &amp; b</td>' in page
    assert "<svg></svg>" in page


def test_template_syntax_in_a_value_is_text():
    text = "{{ 7 * 7 }}{% include 'x' %}"
    page = render("runs.html", **RUNS | {"task": text, "rows": [[text]], "names": [text]})
    assert "49" not in page
    assert page.count("{{ 7 * 7 }}{% include &#39;x&#39; %}") >= 2


def test_a_variable_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError):
        render("runs.html", **{key: RUNS[key] for key in RUNS if key != "measure"})


def test_every_page_suits_phones_and_dark_rooms():
    memory = {"title": "t", "caption": "c", "steps": ["a"], "data": {"name": "</script>"}}
    sweep = {"name": "n", "finished": 0, "caption": "c", "picture": "", "columns": [], "trials": []}
    for template, values in (("runs", RUNS), ("memory", memory), ("sweep", sweep)):
        page = render(f"{template}.html", **values)
        assert 'name="viewport"' in page
        assert "prefers-color-scheme: dark" in page
        assert "</script>;" not in page
        assert page.endswith("</html>\n")
