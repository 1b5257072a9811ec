"""Linux: /proc/net/fib_trie, the kernel's IPv4 routes as the tree that it looks them up in.

    Main:
      +-- 0.0.0.0/0 3 0 5              a node: its children are 2**3, of which 5 are empty
         |-- 192.0.2.0                 a leaf
            /24 link UNICAST           its routes

Without rules of one's own both tables share one tree, which is then printed twice; the type tells
them apart. The counts of the nodes tell whether the text is whole. Interfaces and gateways are not
shown. Source: net/ipv4/fib_trie.c (fib_trie_seq_show).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem
from shunt.servers.routes.linux_iproute import TYPES
from shunt.servers.routes.rows import Kind, Listing, Route, Where
from shunt.servers.routes.text import HINT, Line, filled, inet, numbered, prefix_of

if TYPE_CHECKING:
    from ipaddress import IPv4Address

LAYOUT = "/proc/net/fib_trie"

_TABLE = re.compile(r"(Main|Local|Id \d+):\s*")
_NODE = re.compile(r"( +)\+-- ([\d.]+)/(\d+) (\d+) (\d+) (\d+)\s*")
_LEAF = re.compile(r"( +)\|-- ([\d.]+)\s*")
_ALIAS = re.compile(r" +/(\d+) (\w+) ([A-Z]+)(?: tos=\d+)?\s*")


def claims(text: str) -> bool:
    """Tell whether a line is a node of such a tree."""
    return any(_NODE.fullmatch(line.text) for line in numbered(text))


def parse(text: str) -> Listing:
    """Read the tables; rows that both print are given once.

    Raises:
        ParseError: a line is not understood, a node lacks children, or there is no row.
    """
    reader = _Reader()
    for line in filled(numbered(text)):
        reader.take(line)
    reader.close_table()
    if not reader.routes:
        raise ParseError(f"{LAYOUT} has no rows", hint=HINT)
    if "Local" not in reader.tables:
        raise ParseError(f"{LAYOUT} is cut off: the table local is missing", hint=HINT)
    return Listing(
        OperatingSystem.LINUX, LAYOUT, tuple(reader.routes.values()), without_interfaces=True
    )


@dataclass
class _Node:
    line: Line
    depth: int
    children: int  # that are still to come


@dataclass
class _Reader:
    routes: dict[tuple[IPv4Address, int, str, int], Route] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    _seen: dict[tuple[IPv4Address, int, str], int] = field(default_factory=dict)
    _open: list[_Node] = field(default_factory=list)
    _leaf: IPv4Address | None = None
    _bare: Line | None = None  # a leaf behind which no route has come yet

    def take(self, line: Line) -> None:
        if table := _TABLE.fullmatch(line.text):
            self.close_table()
            self._seen.clear()
            self.tables.append(table[1])
        elif not self.tables:
            line.refuse("a line before the name of the table")
        elif node := _NODE.fullmatch(line.text):
            self._child(len(node[1]))
            children = (1 << min(int(node[4]), 32)) - int(node[6])
            self._open.append(_Node(line, len(node[1]), children))
        elif leaf := _LEAF.fullmatch(line.text):
            self._child(len(leaf[1]))
            self._leaf, self._bare = inet(leaf[2]), line
            if self._leaf is None:
                line.refuse(f"{leaf[2]!r} is not an address")
        elif (alias := _ALIAS.fullmatch(line.text)) and self._leaf is not None:
            self._route(line, self._leaf, alias)
        else:
            line.refuse(f"not a line of {LAYOUT}")

    def _child(self, depth: int) -> None:
        """Count a node or leaf with its parent, and close what is deeper."""
        self._close_leaf()
        self._close_to(depth)
        if self._open:
            self._open[-1].children -= 1

    def _close_to(self, depth: int) -> None:
        while self._open and self._open[-1].depth >= depth:
            node = self._open.pop()
            if node.children:
                node.line.refuse("the tree is cut off: this node has other children")

    def _close_leaf(self) -> None:
        if self._bare is not None:
            self._bare.refuse("the tree is cut off: a leaf without its routes")
        self._leaf = None

    def close_table(self) -> None:
        """Check that the table is whole."""
        self._close_leaf()
        self._close_to(0)

    def _route(self, line: Line, address: IPv4Address, alias: re.Match[str]) -> None:
        kind = TYPES.get(alias[3].lower())
        if kind is None:
            line.refuse(f"the type {alias[3]!r} is not known")
        self._bare = None
        table = self.tables[-1]
        own = table if table.startswith("Id") else ""
        shared = "local" if kind in {Kind.LOCAL, Kind.OTHER} else "main"
        name = own.removeprefix("Id ") or shared
        bits = prefix_of(line, address, alias[1])
        route = Route(
            line=line.number,
            written=f"{address}/{bits}",
            address=address,
            prefix=bits,
            flags="G" if alias[2] == "universe" else "",
            kind=kind,
            where=Where.LOCAL if name == "local" else Where.ACTIVE,
            table=name,
        )
        place = (address, bits, f"{name} {alias[3]}")
        self._seen[place] = self._seen.get(place, 0) + 1  # of this table: two may be alike
        self.routes.setdefault((*place, self._seen[place]), route)
