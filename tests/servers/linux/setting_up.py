"""Short ways to the engine for tests: wishes for the server of `conftest.py`, and its state."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.model.config import Server
from shunt.servers import apply, record
from shunt.servers.runners.local import LocalRunner
from shunt.servers.wish import Wish

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.servers.apply import Event, Examination, Result

CLUSTER = "10.9.0.100"
CLUSTER6 = "2001:db8:9::100"


def wish(host: Host, *clusters: str, **fields: object) -> Wish:
    """Return the wish that `host` shall hold the addresses (by default one of each family)."""
    server = Server(
        "server", (ip_address("10.9.0.5"), ip_address("2001:db8:9::5")), netns=host.namespace
    )
    named = tuple(ip_address(text) for text in clusters or (CLUSTER, CLUSTER6))
    return replace(Wish(server, named, persist=False), **fields)  # type: ignore[arg-type]  # tests


def quiet(_: Event) -> None:
    """Report nothing."""


async def examine(host: Host, wanted: Wish) -> Examination:
    """Return the examination."""
    async with LocalRunner(netns=host.namespace) as runner:
        return await apply.examine(runner, wanted, quiet)


async def do(host: Host, wanted: Wish) -> Result:
    """Apply."""
    async with LocalRunner(netns=host.namespace) as runner:
        return await apply.apply(runner, wanted, quiet)


async def remove(host: Host, wanted: Wish) -> Result:
    """Remove."""
    async with LocalRunner(netns=host.namespace) as runner:
        return await apply.remove(runner, wanted, quiet)


def state(host: Host) -> dict[str, str]:
    """Return everything that a set-up could change, as text: settings, addresses, routes, filters.

    Counters and the flow caches of the kernel are left out.
    """
    found = host.run(
        ["sh", "-c", "cd /proc/sys/net && grep -rs . ipv4/conf ipv6/conf ipv4/ip_forward || true"],
    ).stdout
    settings = [line for line in found.splitlines() if "stable_secret" not in line]
    asked = {
        "addresses": ("-j", "address"),
        "routes4": ("-4", "-j", "route", "show", "table", "all"),
        "routes6": ("-6", "-j", "route", "show", "table", "all"),
        "rules": ("-j", "rule"),
        "proxies": ("-j", "neighbour", "show", "proxy"),
    }
    answers = {name: json.dumps(json.loads(host.ip(*words))) for name, words in asked.items()}
    ruleset = host.run(["nft", "-s", "list", "ruleset"]).stdout
    return answers | {"settings": "\n".join(sorted(settings)), "nft": ruleset}


def record_of(host: Host, wanted: Wish) -> str | None:
    """Return the text of the server's record; None if there is none."""
    return host.run(["sh", "-c", record.read(wanted).command.text]).stdout or None


def put_record(host: Host, wanted: Wish, text: str) -> None:
    """Write the server's record."""
    host.run(["sh", "-c", f'cat > "{record.path(wanted)}"'], input=text)
