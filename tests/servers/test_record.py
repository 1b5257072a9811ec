"""The record: what is written is what is read, and nothing else passes for it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem, Server
from shunt.servers import record
from shunt.servers.record import Entry, Record
from shunt.servers.steps import Command, Output
from shunt.servers.wish import Wish

NUMBERS = (
    "$(readlink /proc/self/ns/net | tr -dc 0-9)"
    "-$(awk '$2 == 0 && $3 == 0 { print $NF; exit }' /proc/net/netlink)"
)
TEXT = st.text(max_size=30)
COMMANDS = st.builds(
    Command,
    st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    st.none() | TEXT,
    st.sampled_from(["sh", "powershell", "cmd"]),
    st.lists(st.integers(0, 255), min_size=1, max_size=2).map(tuple),
    st.none() | TEXT,
)
ENTRIES = st.builds(Entry, TEXT, TEXT, st.lists(COMMANDS, max_size=3).map(tuple))
RECORDS = st.builds(
    Record,
    st.lists(ENTRIES, max_size=4, unique_by=lambda entry: entry.id).map(tuple),
    st.lists(st.ip_addresses(), max_size=2).map(tuple),
)


@given(RECORDS)
@settings(max_examples=80, deadline=None)
def test_parse_of_dump_is_the_identity(made: Record) -> None:
    assert record.parse(Output(made.dump())) == made


@given(RECORDS, st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_cut_off_is_an_error(made: Record, data: st.DataObject) -> None:
    text = made.dump()
    length = data.draw(st.integers(1, len(text.rstrip()) - 1))
    with pytest.raises(ParseError):
        record.parse(Output(text[:length]))


@given(st.text(min_size=1, max_size=50).filter(lambda text: text.strip()))
@settings(max_examples=60, deadline=None)
def test_garbage_is_no_record(text: str) -> None:
    with pytest.raises(ParseError):
        record.parse(Output(text))


def test_no_record_and_an_unreadable_one_are_different() -> None:
    assert record.parse(Output("")) == Record()
    with pytest.raises(ParseError, match="could not be read: Permission denied"):
        record.parse(Output("", "Permission denied", 1))


def test_aliases_go_first_and_silence_last() -> None:
    entries = tuple(Entry(i, "", ()) for i in ("alias:a", "silence:x", "persist:y", "alias:b"))
    removal = [entry.id for entry in Record(entries).removal()]
    assert removal == ["alias:b", "alias:a", "persist:y", "silence:x"]


def test_stale_are_aliases_that_nobody_wants() -> None:
    names = ("alias:192.0.2.10", "alias:192.0.2.11", "silence:x")
    made = Record(tuple(Entry(name, "", ()) for name in names))
    assert [e.id for e in made.stale([ip_address("192.0.2.11")])] == ["alias:192.0.2.10"]


KEPT = (
    "silence:x",
    "keep:/etc/some.file",
    "keep:net.inet.ip.forwarding",
    "narrow:192.0.2.10/24@lo",
    "keep:192.0.2.10",
    "keep:2001:db8::10",
    "persist:/etc/x",
)


@pytest.mark.parametrize(
    ("wanted", "obsolete", "stale"),
    [
        (("192.0.2.10", "2001:db8::10"), (), []),
        (("192.0.2.10",), (), ["keep:2001:db8::10"]),
        (("192.0.2.10", "2001:db8::10"), ("persist:/etc/x",), ["persist:/etc/x"]),
        (
            (),
            (),
            [
                "keep:2001:db8::10",
                "keep:192.0.2.10",
                "keep:net.inet.ip.forwarding",
                "keep:/etc/some.file",
            ],
        ),
        (
            (),
            ("what nobody recorded", "silence:x"),
            [
                "keep:2001:db8::10",
                "keep:192.0.2.10",
                "keep:net.inet.ip.forwarding",
                "keep:/etc/some.file",
                "silence:x",
            ],
        ),
    ],
)
def test_what_brings_an_address_back_goes_with_it(
    wanted: tuple[str, ...], obsolete: tuple[str, ...], stale: list[str]
) -> None:
    made = Record(tuple(Entry(name, "", ()) for name in KEPT))
    found = made.stale([ip_address(text) for text in wanted], obsolete)
    assert [entry.id for entry in found] == stale


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "/var/lib/shunt/server.json"),
        ({"netns": "blue"}, f"/run/shunt/netns-{NUMBERS}.json"),
        ({"netns": "/run/a$(b)"}, f"/run/shunt/netns-{NUMBERS}.json"),
        ({"os": OperatingSystem.AIX_WPAR, "wpar": "app1"}, "/var/lib/shunt/wpar-app1.json"),
        ({"os": OperatingSystem.WINDOWS}, "C:\\ProgramData\\shunt\\server.json"),
    ],
)
def test_every_kind_of_server_has_a_record_of_its_own(fields: dict[str, str], path: str) -> None:
    assert record.path(Wish(Server("s", (), **fields), ())) == path  # type: ignore[arg-type]  # a test's short way


def test_an_empty_record_leaves_no_file() -> None:
    wish = Wish(Server("s", ()), ())
    assert 'rm -f "/var/lib/shunt/server.json"' in record.write(wish, Record()).text
    windows = Wish(Server("s", (), os=OperatingSystem.WINDOWS), ())
    assert "Remove-Item" in record.write(windows, Record()).text
