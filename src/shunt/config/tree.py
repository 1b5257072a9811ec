"""YAML text to a tree of nodes that know their positions.

Built from libyaml's events with a stack of its own: PyYAML's composer recurses in C and a file of
brackets alone would end the process. No scalar is interpreted (`on`, `1:30`, `08` and `null` are
text); a plain scalar of no characters is None, "nothing was written here".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from shunt.config import yaml_words
from shunt.config.places import START, Position
from shunt.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 32
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN_TAGS = {"!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))}


@dataclass(slots=True)
class Scalar:
    """A single value; `text` is None where nothing was written; `plain`: without quotes."""

    at: Position
    text: str | None
    plain: bool


@dataclass(slots=True)
class Sequence:
    """A list."""

    at: Position
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """A mapping, as it was written: duplicate keys and merge keys included."""

    at: Position
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    key: Node | None = None  # while the tree is built: the key that waits for its value


Node = Scalar | Sequence | Mapping


def compose(text: str, file: str) -> Node | None:
    """Return the root of the one document in `text`, or None if there is nothing in it.

    Raises:
        ConfigError: `text` is no YAML, or uses what this format leaves out: tags, several
            documents, aliases of what contains them, nesting deeper than `MAX_DEPTH`. Only the
            first such problem is reported, because all that follows could be misread.
    """
    text = text.removeprefix("\ufeff")
    if bad := _NOT_TEXT.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        code = f"U+{ord(bad.group()):04X}"
        at = Position(line, column)
        raise _wrong(file, at, f"the character {code} cannot stand in YAML; remove it")
    try:
        return _Builder(file).build(yaml.parse(text, yaml.CBaseLoader))
    except yaml.MarkedYAMLError as error:
        raise _wrong(file, *yaml_words.explain(error, text)) from None
    except yaml.YAMLError as error:
        raise _wrong(file, START, f"this is no YAML: {error}") from None


class _Builder:
    """Turns events into nodes; `_open` are the lists and mappings not yet closed."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._open: list[Sequence | Mapping] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None

    def build(self, events: Iterator[yaml.Event]) -> Node | None:
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._attach(self._scalar(event))
            elif isinstance(event, yaml.CollectionStartEvent):
                collection = self._collection(event)
                self._attach(collection)
                self._open.append(collection)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._open.pop()
            elif isinstance(event, yaml.AliasEvent):
                self._attach(self._aliased(event))
            elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                raise self._error(event, "a second document begins here; the file holds one")
        return self._root

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        self._untagged(event)
        plain = not event.style
        text = None if plain and event.value == "" else event.value
        node = Scalar(_position(event), text, plain)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, event: yaml.CollectionStartEvent) -> Sequence | Mapping:
        self._untagged(event)
        if len(self._open) >= MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels; no key needs that")
        made = Mapping if isinstance(event, yaml.MappingStartEvent) else Sequence
        node = made(_position(event))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _untagged(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None and event.tag not in _PLAIN_TAGS:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise self._error(event, f"the tag `{tag}` is not used here; leave it out")

    def _aliased(self, event: yaml.AliasEvent) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            raise self._error(event, f"nothing above is anchored as `&{event.anchor}`")
        if any(node is parent for parent in self._open):
            raise self._error(event, f"`*{event.anchor}` stands inside what it repeats")
        return node

    def _attach(self, node: Node) -> None:
        parent = self._open[-1] if self._open else None
        if parent is None:
            self._root = node
        elif isinstance(parent, Sequence):
            parent.items.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            parent.pairs.append((parent.key, node))
            parent.key = None

    def _error(self, event: yaml.Event, message: str) -> ConfigError:
        return _wrong(self._file, _position(event), message)


def _position(event: yaml.Event) -> Position:
    mark = event.start_mark
    assert mark is not None
    return Position(mark.line + 1, mark.column + 1)


def _wrong(file: str, at: Position, message: str) -> ConfigError:
    return ConfigError(file, (Problem(at.line, at.column, "", message),))
