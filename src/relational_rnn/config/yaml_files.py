"""The one reader and writer of YAML: plain values only, with limits that are checked first.

A file may come from elsewhere. In YAML a few hundred bytes can stand for gigabytes (aliases of
aliases), nesting has no end, and tags construct other objects, with errors of many kinds. Numbers
and lists on the command line are YAML too, which jsonargparse reads after :func:`check_yaml`.
"""

from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError
from ..printable import shortened

LARGEST_FILE = 200_000
"""Characters. Sweeps have a few thousand; this many are read in some seconds."""
DEEPEST = 20
"""Levels of lists and mappings."""
LARGEST = 1_000_000
"""Size with all aliases expanded: one for each value, and one for each of its characters."""

TEXT_TAGS = ("!", "tag:yaml.org,2002:str")


class InvalidYamlError(ValueError):
    """A text that is not YAML, or not of the plain kind that is read here."""


class YamlSyntaxError(InvalidYamlError):
    """A text that is not YAML."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file: a mapping, list, text, number, truth value or None.

    Raises:
        UserError: the file cannot be read, is not YAML in UTF-8, or is not plain.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return parse_yaml(file.read(LARGEST_FILE + 1))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a YAML file in UTF-8: {error}") from error
    except InvalidYamlError as error:
        raise UserError(f"{path}: {error}") from error


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, which is checked before anything is built.

    Raises:
        InvalidYamlError: it is not YAML, too large or too deep, has a tag such as ``!!timestamp``,
            a key twice, or a number of thousands of digits.
    """
    check_yaml(text)
    try:
        return yaml.load(text, Loader=_PlainLoader)
    except yaml.YAMLError as error:
        raise _invalid(error) from error


def as_yaml(values: dict[str, Any]) -> str:
    """A mapping as YAML that :func:`parse_yaml` reads."""
    text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    if "\x85" in text:  # "next line", which PyYAML writes as it is and reads as a space
        text = yaml.safe_dump(values, sort_keys=False)
    return text


def check_yaml(text: str) -> None:
    """Raise as :func:`parse_yaml`, without building anything."""
    if len(text) > LARGEST_FILE:
        raise InvalidYamlError(f"must have at most {LARGEST_FILE:,} characters")
    try:
        _Check().run(text)
    except yaml.YAMLError as error:
        raise _invalid(error) from error


def _invalid(error: yaml.YAMLError) -> YamlSyntaxError:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        reason = f"line {error.problem_mark.line + 1}: {error.problem}"
    else:
        reason = " ".join(str(error).split())
    return YamlSyntaxError(f"not a YAML file in UTF-8: {shortened(reason, 300)}")


class _PlainLoader(yaml.SafeLoader):
    """A SafeLoader that reads a date as text, and only numbers that can be printed."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """As the parent, which raises a ValueError for thousands of digits, or none."""
        try:
            number = super().construct_yaml_int(node)
            str(number)
            return number
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"not a number: {shortened(node.value, 40)}", node.start_mark
            ) from error


_PlainLoader.add_constructor("tag:yaml.org,2002:int", _PlainLoader.construct_yaml_int)
_PlainLoader.yaml_implicit_resolvers = {
    first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Check:
    """One pass over the events of a YAML text, which are made one by one and build nothing."""

    def __init__(self) -> None:
        self.size = 0
        self.anchors: dict[str, int | None] = {}  # the size of each; None while it is still open
        self.open: list[_Open] = []

    def run(self, text: str) -> None:
        for event in yaml.parse(text, Loader=_PlainLoader):
            if isinstance(event, yaml.AliasEvent):
                self.alias(event)
            elif isinstance(event, yaml.ScalarEvent):
                self.start(event)
                self.key(event)
                self.size += len(event.value)
                self.end(event.anchor, self.size - len(event.value) - 1)
            elif isinstance(event, yaml.CollectionStartEvent):
                self.start(event)
                self.key(event)
                self.open.append(_Open(event, self.size - 1))
                if len(self.open) > DEEPEST:
                    raise _refused(event, f"must be nested at most {DEEPEST} deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                closed = self.open.pop()
                self.end(closed.anchor, closed.size_before)
            if self.size > LARGEST:
                raise _refused(event, f"must have at most {LARGEST:,} characters with its aliases")

    def start(self, event: Any) -> None:
        """Count a value, and check its tag."""
        self.size += 1
        if event.tag not in (None, *TEXT_TAGS):
            name = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _refused(event, f"{name}: unknown tag; write a plain value")
        if event.anchor is not None:
            self.anchors[event.anchor] = None

    def end(self, anchor: str | None, size_before: int) -> None:
        if anchor is not None:
            self.anchors[anchor] = self.size - size_before

    def alias(self, event: yaml.AliasEvent) -> None:
        size = self.anchors.get(event.anchor or "", 0)  # the loader reports an unknown one
        if size is None:
            raise _refused(event, f"*{event.anchor}: an alias of what it is part of")
        self.key(event)
        self.size += size

    def key(self, event: Any) -> None:
        """Note a child of the innermost mapping; every other one is a key."""
        if not self.open:
            return
        parent = self.open[-1]
        parent.children += 1
        if parent.keys is None or parent.children % 2 == 0 or not hasattr(event, "value"):
            return
        if event.value in parent.keys:
            raise _refused(event, f"{event.value}: given twice; remove one")
        parent.keys.add(event.value)


class _Open:
    """A mapping or list whose end has not been reached."""

    def __init__(self, event: Any, size_before: int) -> None:
        self.anchor: str | None = event.anchor
        self.size_before = size_before
        self.children = 0
        self.keys: set[str] | None = set() if isinstance(event, yaml.MappingStartEvent) else None


def _refused(event: Any, reason: str) -> InvalidYamlError:
    return InvalidYamlError(f"line {event.start_mark.line + 1}: {shortened(reason, 300)}")
