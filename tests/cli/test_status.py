"""`shunt status` shows all that an operator must know, and never takes silence for an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from shunt.cli.status import _memory, read, render, status
from shunt.dispatcher.control_server import ControlServer
from shunt.dispatcher.places import Places, places
from shunt.errors import ControlError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shunt.dispatcher import control

ROW: dict[str, Any] = {
    "server": "alpha", "address": "192.0.2.21", "weight": 10, "configured_weight": 10,
    "mac": "02:00:00:00:00:21", "mac_pinned": True, "reason": None, "exceptions": 0,
    "elder_slots": 0,
    "share": 0.25, "packets": 1234567, "bytes": 1, "opened": 4321, "closed": 4320,
    "rates": {"packets": 99.5},
}  # fmt: skip
SERVICE: dict[str, Any] = {
    "name": "[fd00::10]:80/tcp", "cluster": "web", "address": "fd00::10", "protocol": "tcp",
    "port": 80, "slots": 16384, "unsettled": 0, "exceptions": 0, "servers": [ROW],
}  # fmt: skip
INTERFACE: dict[str, Any] = {
    "mode": "native", "native_refused": None, "problems": [], "notes": [],
}  # fmt: skip
DOCUMENT: dict[str, Any] = {
    "daemon": {
        "process": 77,
        "file": "/etc/shunt/shunt.yaml",
        "claims": [],
        "missing_interfaces": [],
        "refused_interfaces": {},
        "held": [],
        "server_macs": [],
        "loops": {"sweep": {"age": 3.0, "late": None, "overdue": False, "failing": None}},
    },
    "interfaces": {"eth0": INTERFACE},
    "diagnoses": [],
    "program": {"id": 5},
    "events": {"serverDown": 2, "serverUp": 0},
    "budgets": {
        "flows": {"recorded": 9, "refused": 1234},
        "affinities": {"recorded": 1, "refused": 0},
    },
    "moved": {"slots": 40960, "last_minute": 12288},
    "services": [SERVICE],
    "causes": {
        "forwarded": {"packets": 1000, "meaning": "A request went to its server."},
        "dropped_no_mac": {"packets": 0, "meaning": "For a server whose MAC is not known."},
    },
    "memory": {
        "maps": {"flows": 83886080},
        "services": {"[fd00::10]:80/tcp": {"slots": 196608, "shared_by": 2, "members": 1024}},
    },
}


def shown(document: dict[str, Any]) -> str:
    console = Console(width=200)
    with console.capture() as text:
        console.print(render(document))
    return text.get()


def with_row(**changes: Any) -> dict[str, Any]:
    return DOCUMENT | {"services": [SERVICE | {"servers": [ROW | changes]}]}


def with_interface(**changes: Any) -> dict[str, Any]:
    return DOCUMENT | {"interfaces": {"eth0": INTERFACE | changes}}


def test_what_is_right_is_shown_in_figures() -> None:
    text = shown(DOCUMENT)
    for words in (
        "process 77, /etc/shunt/shunt.yaml", "sweep 3.0 s ago", "interface eth0: native mode",
        "web [fd00::10]:80/tcp  (16384 slots)", "alpha", "192.0.2.21", "02:00:00:00:00:21",
        "25.0%", "1,234,567", "4,321", "4,320", "forwarded", "A request went to its server.",
        "not remembered, for their rate: 1,234 flows (dispatcher.exceptions_rate)",
        "since the start: serverDown 2, slots that changed hands 40,960 (12,288 in the last minute",
    ):  # fmt: skip
        assert words in text
    assert "dropped_no_mac" not in text, "what never happened is no news"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (DOCUMENT | {"daemon": None}, "no daemon runs: the kernel forwards by the tables"),
        (
            with_interface(mode="generic", native_refused="EOPNOTSUPP: no"),
            "generic mode (native refused: EOPNOTSUPP: no)",
        ),
        (
            with_interface(mode="gone", problems=[{"kind": "gone", "text": "is gone: nothing"}]),
            "interface eth0 is gone: nothing",
        ),
        (
            with_interface(problems=[{"kind": "lost", "text": "could not send 7 frames"}]),
            "interface eth0: native mode interface eth0 could not send 7 frames",
        ),
        (
            DOCUMENT | {"diagnoses": [{"text": "servers a, b have one MAC address"}]},
            "servers a, b have one MAC address",
        ),
        (with_interface(notes=["has an MTU of 9000"]), "interface eth0 has an MTU of 9000"),
        (
            DOCUMENT
            | {"daemon": DOCUMENT["daemon"] | {"claims": [
                {"mac": "02:00:00:00:00:66", "address": "fd00::10", "interface": "eth0",
                 "times": 3}]}},
            "02:00:00:00:00:66 claims fd00::10 on eth0 (3 times)",
        ),
        (with_row(reason="quiesced [now]", weight=0, share=0.0), "quiesced [now]"),
        (with_row(mac=None), "unknown"),
        (with_row(server=None, weight=None), "?"),
        (
            DOCUMENT | {"services": [SERVICE | {"unsettled": 12, "exceptions": 34}]},
            "(16384 slots, 12 of them not settled yet, 34 flows remembered)",
        ),
    ],
)  # fmt: skip
def test_whatever_is_not_as_it_should_be_is_said(document: dict[str, Any], words: str) -> None:
    assert words not in shown(DOCUMENT)
    assert words in " ".join(shown(document).split())


def test_memory_is_shown_in_bytes() -> None:
    console = Console(width=200)
    with console.capture() as text:
        console.print(_memory(DOCUMENT))
    for words in ("83,886,080", "[fd00::10]:80/tcp", "196,608", "1,024"):
        assert words in text.get()


def test_watching_draws_anew_until_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = iter([DOCUMENT, with_row(reason="quiesced"), with_row(reason="down")])

    def reading(_where: Places) -> dict[str, Any]:
        try:
            return next(readings)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr("shunt.cli.status.read", reading)
    monkeypatch.setattr("shunt.cli.status._EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        status(watch=True)
    assert "down" in capsys.readouterr().out


@pytest.fixture
def where(tmp_path: Path) -> Places:
    found = places(tmp_path)
    found.run.mkdir()
    return found


def test_with_nothing_there_it_is_an_error(where: Places) -> None:
    with pytest.raises(ControlError, match="no dispatcher runs here"):
        read(where)


def test_a_daemon_that_cannot_tell_is_not_taken_for_none(
    where: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_request: Mapping[str, Any], _client: control.Client) -> None:
        raise ControlError("cannot read map slots")

    async def main() -> None:
        server = ControlServer(where.socket, None, {"status": fail})
        with pytest.raises(ControlError, match="cannot read map slots"):
            await asyncio.to_thread(read, where)
        await server.close()

    monkeypatch.setattr("shunt.dispatcher.inspection.inspect", lambda _: {"daemon": None})
    asyncio.run(main())
    assert read(where) == {"daemon": None}, "without a daemon the kernel is looked at"


def test_of_many_services_those_that_ail_are_shown() -> None:
    row = ROW | {"reason": "does not answer ARP"}
    many = [
        SERVICE
        | {"name": f"10.0.{n >> 8}.{n & 255}:80/tcp", "servers": [row if n == 9_000 else ROW]}
        for n in range(10_000)
    ]
    text = shown(DOCUMENT | {"services": many})
    assert "10.0.35.40:80/tcp" in text
    assert "does not answer ARP" in text
    assert "9,900 more services; --json has them all" in text
