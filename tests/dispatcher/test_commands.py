"""What the daemon's commands take of a request, and where a member's work is done."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from shunt.advisors import check
from shunt.dispatcher import commands
from shunt.dispatcher.commands import Commands
from shunt.dispatcher.control import Client
from shunt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.dispatcher.daemon import Daemon

MEMBER = Client(1000, 1000, 1)
ADVISE = {
    "kind": "http", "settings": {}, "address": "192.0.2.21", "port": 80, "server": "a",
}  # fmt: skip
TRACE = {
    "client": "198.51.100.1", "client_port": 1, "cluster": "192.0.2.10", "port": 80,
    "protocol": "tcp", "syn": True,
}  # fmt: skip
FLOWS = {"limit": 100}


def made() -> Commands:
    """Return commands of a daemon that fails whoever gets as far as asking it."""
    return Commands(cast("Daemon", SimpleNamespace()))


NO_NUMBERS = ("1e999", "-1e999", "NaN", "-5", "65536000000", "1.5", "true", '"80"', "[]", "null")


@pytest.mark.parametrize("written", NO_NUMBERS)
@pytest.mark.parametrize(
    ("command", "request_", "key"),
    [
        ("advise", ADVISE, "port"),
        ("trace", TRACE, "client_port"),
        ("trace", TRACE, "port"),
        ("flows", FLOWS, "limit"),
        ("weight", {"server": "a"}, "weight"),
    ],
    ids=["advise port", "trace client_port", "trace port", "flows limit", "weight"],
)
async def test_what_is_not_such_a_number_is_the_clients_mistake(
    command: str, request_: Mapping[str, Any], key: str, written: str
) -> None:
    if (command, written) == ("weight", "null"):
        written = "{}"  # for null gives the weight back to the file
    handler = made().handlers()[command]
    with pytest.raises(UsageError, match="number from 0 to"):
        await handler({**request_, key: json.loads(written)}, MEMBER)


@pytest.mark.parametrize(
    ("command", "request_", "key", "value"),
    [
        ("advise", ADVISE, "address", 3221225994),
        ("advise", ADVISE, "kind", ["http"]),
        ("advise", ADVISE, "server", None),
        ("advise", ADVISE, "settings", "http"),
        ("advise", ADVISE, "settings", 5),
        ("trace", TRACE, "client", 1),
        ("trace", TRACE, "cluster", {}),
        ("trace", TRACE, "syn", "no"),
        ("trace", TRACE, "protocol", "icmp"),
        ("flows", FLOWS, "client", True),
        ("flows", FLOWS, "service", 5),
        ("flows", FLOWS, "server", ["a"]),
        ("quiesce", {"server": "a"}, "now", "no"),
    ],
)
async def test_what_is_of_another_kind_is_the_clients_mistake(
    command: str, request_: Mapping[str, Any], key: str, value: object
) -> None:
    with pytest.raises(UsageError, match="bad request"):
        await made().handlers()[command]({**request_, key: value}, MEMBER)


async def test_a_check_by_hand_is_made_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    makers: list[int] = []

    def make(*args: Any, **named: Any) -> check.Check:
        makers.append(threading.get_ident())
        return check.make(*args, **named)

    async def once(*_args: object) -> Any:
        return SimpleNamespace(document=lambda: {"up": True})

    async def while_there(made: Any) -> Any:
        return await made

    monkeypatch.setattr(commands, "make", make)
    daemon = SimpleNamespace(health=SimpleNamespace(once=once))
    client = SimpleNamespace(is_trusted=False, while_there=while_there)
    asked = Commands(cast("Daemon", daemon)).advise(ADVISE, cast("Client", client))
    async with asyncio.timeout(60):
        assert await asked == {"up": True}
    assert len(makers) == 1
    assert threading.get_ident() not in makers
