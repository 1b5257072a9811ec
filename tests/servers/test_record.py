"""The record: what is written is what is read, and nothing else passes for it."""

from __future__ import annotations

import os
import subprocess
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem, Server
from shunt.servers import record
from shunt.servers.record import Entry, Record
from shunt.servers.runners.base import line
from shunt.servers.steps import Command, Output
from shunt.servers.wish import Wish
from tests.servers.bourne import SHELLS

if TYPE_CHECKING:
    from pathlib import Path

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


def stored_in(folder: Path, made: Command, shell: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the record, which stands in `folder` for the test."""
    text = made.argv[2].replace("/var/lib/shunt", str(folder))
    return subprocess.run(
        [*shell.split(), "-c", text],
        input=made.stdin,
        capture_output=True,
        text=True,
        umask=0o022,
        check=False,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: files of several owners")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_record_that_others_may_write_is_neither_read_nor_written(
    shell: str, tmp_path: Path
) -> None:
    """What it says is run as root. Modes, owners and links, of the file and of its folder."""
    folder, wish = tmp_path / "shunt", Wish(Server("a", (ip_address("192.0.2.21"),)), ())
    file = folder / "server.json"
    writing, reading = record.write(wish, Record((Entry("a", "b", ()),))), record.read(wish).command
    assert stored_in(folder, reading, shell).stdout == ""  # none yet, and no folder
    assert stored_in(folder, writing, shell).returncode == 0
    whole = stored_in(folder, reading, shell)
    assert record.parse(Output(whole.stdout, whole.stderr, whole.returncode)).entries
    right = file.read_text()

    def is_refused() -> None:
        for command in (reading, writing):
            refused = stored_in(folder, command, shell)
            assert refused.returncode == 1
            assert refused.stdout == ""
            assert "is not root's alone" in refused.stderr
            with pytest.raises(ParseError, match="is not trusted") as caught:
                record.parse(Output(refused.stdout, refused.stderr, refused.returncode))
            assert "chown root" in (caught.value.hint or "")
        assert file.read_text() == right

    for place, usual in ((file, 0o600), (folder, 0o755)):
        for mode in (0o777, 0o757, 0o775, 0o1777):
            place.chmod(mode)
            is_refused()
        place.chmod(usual)
        os.chown(place, 65534, 0)
        is_refused()
        os.chown(place, 0, 0)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    is_refused()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_servers_umask_does_not_open_the_records_folder(shell: str, tmp_path: Path) -> None:
    made = line(Command.sh(f"mkdir {tmp_path}/x && : > {tmp_path}/x/y"))
    subprocess.run([*shell.split(), "-c", f"umask 0; {made}"], check=True, timeout=60)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "x/y").stat().st_mode & 0o777 == 0o644
