"""YAML from elsewhere: read as plain values, or refused in one line and at once."""

import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from relational_rnn.cli import main
from relational_rnn.config import LanguageModelingConfig, load, save, shipped
from relational_rnn.config.yaml_files import (
    DEEPEST,
    LARGEST_FILE,
    InvalidYamlError,
    as_yaml,
    parse_yaml,
    read_yaml,
)
from relational_rnn.errors import UserError
from relational_rnn.sweep import plan


def bomb(levels=8):
    """A few hundred bytes that stand for 9 ** levels words."""
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for below, name in zip("abcdefgh"[: levels - 1], "bcdefghi", strict=False):
        lines.append(f"{name}: &{name} [{','.join([f'*{below}'] * 9)}]")
    return "\n".join(lines)


HOSTILE = {
    "aliases": bomb(),
    "recursive": "a: &a [*a]",
    "words": f"a: &a {'x' * 1000}\nb: [{','.join(['*a'] * 2000)}]",
    "brackets": "x: " + "[" * 3000,
    "braces": "{a: " * 3000,
    "items": "- " * 3000,
    "questions": "? " * 3000,
    "bool": "x: !!bool z",
    "timestamp": "x: !!timestamp x",
    "float": "x: !!float z",
    "python": "x: !!python/object/apply:os.system [x]",
    "number": "x: " + "9" * 5000,
    "hexadecimal": "x: 0x" + "f" * 5000,
    "binary": "x: 0b_",
    "twice": "x: 1\nx: 2",
    "list as a key": "[a]: 1",
    "large": "# " * LARGEST_FILE,
    "documents": "--- 1\n--- 2",
    "zero": "\0",
    "merge": "<<: 3",
    "value": "x: =",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_not_plain_is_refused_at_once(text):
    start = time.perf_counter()
    with pytest.raises(InvalidYamlError) as error:
        parse_yaml(text)
    assert time.perf_counter() - start < 5
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize(
    "words",
    [
        ("train", "hostile.yaml"),
        ("sweep", "hostile.yaml"),
        ("test", "hostile"),
        ("train", "--resume", "hostile"),
        ("report", "hostile"),
        ("train", "demo-rmc", "--mem-slots", "TEXT"),
        ("train", "demo-rmc", "--cutoffs", "TEXT"),
        ("generate", "demo", "--top-k", "TEXT"),
    ],
    ids=lambda words: "-".join(words[:3]),
)
def test_wherever_it_stands(text, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "hostile"
    run.mkdir(parents=True)
    for path in (tmp_path / "hostile.yaml", run / "config.yaml"):
        path.write_text(f"{text}\n", encoding="utf-8")
    assert main([text if word == "TEXT" else word for word in words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert len(printed.err) < 3000
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["hostile"]


def test_in_the_shipped_configurations(tmp_path, monkeypatch, capsys):
    path = tmp_path / "evil.yaml"
    path.write_text(bomb(), encoding="utf-8")
    monkeypatch.setattr("relational_rnn.config.files.shipped", lambda: {"evil": path})
    assert main(["train", "evil"]) == 2
    assert capsys.readouterr().err == (
        f"error: {path}: line 6: must have at most 1,000,000 characters with its aliases\n"
    )


def test_the_line_of_the_mistake_is_named(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("mem_slots: 1\nname: a: b\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"x.yaml: not a YAML file in UTF-8: line 2: mapping val"):
        read_yaml(path)
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(UserError, match=r"x.yaml: not a YAML file in UTF-8: .* byte 0xff"):
        read_yaml(path)
    path.write_text("name: a\nmem_slots: 1\nname: b\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"x.yaml: line 3: name: given twice; remove one"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x: 2024-13-45", {"x": "2024-13-45"}),
        ("x: 2024-01-01", {"x": "2024-01-01"}),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        ("a: &a [1, 2]\nb: [*a, *a]", {"a": [1, 2], "b": [[1, 2], [1, 2]]}),
        ("a: !!str 5", {"a": "5"}),
        ("", None),
        ("[" * DEEPEST + "]" * DEEPEST, eval("[" * DEEPEST + "]" * DEEPEST)),
    ],
)
def test_plain_values_are_read(text, value):
    assert parse_yaml(text) == value


@pytest.mark.parametrize("path", [*shipped().values(), *plan.shipped().values()])
def test_shipped_files_are_read_as_before(path):
    assert read_yaml(path) == yaml.safe_load(path.read_text(encoding="utf-8"))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_what_is_written_is_read_again(value):
    assert parse_yaml(as_yaml({"x": value})) == {"x": value}


def test_every_name_is_kept_in_a_configuration(tmp_path):
    config = LanguageModelingConfig(data="a\x85b\u2028c: 2024-01-01 ü 単 null")
    save(config, tmp_path / "x.yaml")
    assert load(tmp_path / "x.yaml") == config


@given(st.text(alphabet="ab1:-[]{}&*!?|>'\"#%@,. \n\t=<~", max_size=60))
def test_any_text_is_read_or_refused(text):
    with suppress(InvalidYamlError):
        parse_yaml(text)
