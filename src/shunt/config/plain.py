"""Nodes to plain data (dict, list, str, None) and the place of every path.

Aliases become copies and merge keys (`<<`, https://yaml.org/type/merge.html) are resolved: a key of
the mapping itself wins over a merged one, an earlier merged mapping over a later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.config.tree import Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    from shunt.config.places import Path
    from shunt.config.report import Report

Plain = None | str | list["Plain"] | dict[str, "Plain"]

MAX_NODES = 500_000  # aliases of aliases multiply: nine lines can stand for a billion values


class _TooManyError(Exception):
    """The aliases multiply beyond `MAX_NODES`."""


def flatten(root: Node, report: Report) -> Plain:
    """Return the data of the tree; note every path's place and every duplicate key in `report`."""
    walk = _Walk(report)
    try:
        return walk.plain(root, ())
    except _TooManyError:
        report.at(root.at, f"aliases make this more than {MAX_NODES:,} values; write less of them")
        report.raise_if_any()
        raise AssertionError from None


class _Walk:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._count = 0

    def plain(self, node: Node, path: Path) -> Plain:
        self._tick()
        values = self._report.places.values
        values[path] = node.at
        if isinstance(node, Scalar):
            if node.text is None:  # points at the key: there is nothing else to look at
                values[path] = self._report.places.keys.get(path, node.at)
            return node.text
        if isinstance(node, Sequence):
            return [self._item(item, (*path, index)) for index, item in enumerate(node.items)]
        return self._mapping(node, path)

    def _item(self, node: Node, path: Path) -> Plain:
        self._report.places.keys[path] = node.at
        return self.plain(node, path)

    def _mapping(self, node: Mapping, path: Path) -> Plain:
        data: dict[str, Plain] = {}
        for key, (name, value) in self._pairs(node, path).items():
            place = (*path, key)
            self._report.places.keys[place] = name.at
            data[key] = self.plain(value, place)
        return data

    def _pairs(self, node: Mapping, path: Path) -> dict[str, tuple[Scalar, Node]]:
        """Return the pairs of a mapping by key, merged ones last."""
        own: dict[str, tuple[Scalar, Node]] = {}
        merged: list[Mapping] = []
        for name, value in node.pairs:
            self._tick()
            if not isinstance(name, Scalar):
                self._report.at(name.at, "a key is a list or a mapping; write a word", path)
            elif name.plain and name.text == "<<":
                merged.extend(self._merged(value, path))
            elif (key := name.text or "") in own:
                line = own[key][0].at.line
                message = f"the key stands at line {line} already; keep one"
                self._report.at(name.at, message, (*path, key))
            else:
                own[key] = (name, value)
        for source in merged:
            for key, pair in self._pairs(source, path).items():
                own.setdefault(key, pair)
        return own

    def _merged(self, value: Node, path: Path) -> list[Mapping]:
        items = value.items if isinstance(value, Sequence) else [value]
        mappings = [item for item in items if isinstance(item, Mapping)]
        if len(mappings) < len(items):
            self._report.at(value.at, "`<<` takes a mapping, `<<: *name`, or a list of them", path)
        return mappings

    def _tick(self) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise _TooManyError
