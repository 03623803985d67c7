"""Which runs the page lists, and how it opens their models."""

import os
import shutil

import pytest

from relational_rnn.errors import UserError
from relational_rnn.runs import shipped_models
from relational_rnn.show.catalogue import OPEN_MODELS, Catalogue
from relational_rnn.show.language import Reader
from relational_rnn.show.nth_farthest import Answerer

from .conftest import WORDS, save_language, save_nth_farthest


def test_without_names_it_lists_what_is_shipped_and_what_is_trained_later():
    catalogue = Catalogue()
    shipped = list(catalogue.runs())
    assert set(shipped) == set(shipped_models())
    assert shipped[0] == "wikitext2-rmc"  # what the page opens with
    run = save_language("mine")
    assert list(catalogue.runs()) == [*shipped, "runs/mine"]
    shutil.rmtree(run.folder)  # another run takes the place
    save_nth_farthest("mine")
    assert catalogue.listed()[-1]["task"] == "nth-farthest"


def test_with_names_it_lists_these():
    for name in "ab":
        save_language(name)
    assert list(Catalogue(["b"]).runs()) == ["runs/b"]
    with pytest.raises(UserError, match="c: no such run"):
        Catalogue(["c"])


def test_equal_vocabularies_have_equal_digests():
    save_language("a")
    save_language("b", model="lstm", hidden_size=4)
    save_language("c", words=[*WORDS, "more"])
    save_nth_farthest("d")
    a, b, c, d = (row["vocabulary"] for row in Catalogue(list("abcd")).listed())
    assert a == b != c
    assert d is None


def test_what_is_broken_is_told_and_the_rest_is_listed():
    save_language("a")
    save_language("b").vocabulary_path.write_text("not json", encoding="utf-8")
    save_language("c").config_path.write_text("task: [", encoding="utf-8")
    save_nth_farthest("d").weights_path.unlink()
    a, b, c, d = Catalogue(list("abcd")).listed()
    assert "error" not in a
    assert b["vocabulary"] is None
    assert c["state"] == "broken"
    assert "runs/c/config.yaml" in c["error"]
    assert [row["trained"] for row in (a, b, c, d)] == [True, True, True, False]


def test_a_model_is_opened_once_and_again_when_its_weights_change():
    run = save_language("a")
    catalogue = Catalogue(["a"])
    first = catalogue.open("runs/a", Reader)
    assert catalogue.open("runs/a", Reader) is first
    os.utime(run.weights_path, ns=(1, 1))
    assert catalogue.open("runs/a", Reader) is not first


def test_few_models_are_kept():
    names = [f"r{number}" for number in range(OPEN_MODELS + 1)]
    for name in names:
        save_language(name)
    catalogue = Catalogue(names)
    readers = [catalogue.open(f"runs/{name}", Reader) for name in names]
    assert catalogue.open(f"runs/{names[-1]}", Reader) is readers[-1]
    assert catalogue.open(f"runs/{names[0]}", Reader) is not readers[0]


@pytest.mark.parametrize("title", ["runs/b", "a", "../a", "/etc", None, 3, ["runs/a"]])
def test_only_listed_titles_are_opened(title):
    for name in "ab":
        save_language(name)
    with pytest.raises(UserError, match="is not shown"):
        Catalogue(["a"]).open(title, Reader)


def test_a_run_of_another_task_is_refused():
    save_nth_farthest("points")
    save_language("text")
    catalogue = Catalogue()
    with pytest.raises(UserError, match="not language-modeling"):
        catalogue.open("runs/points", Reader)
    with pytest.raises(UserError, match="must be nth-farthest"):
        catalogue.open("runs/text", Answerer)
