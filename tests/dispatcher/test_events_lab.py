"""In a laboratory: the daemon's own events, from the take-over to the end."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from shunt.dispatcher.control import request
from shunt.dispatcher.places import places
from shunt.lab import daemon, nginx, topology
from shunt.network.announce import announce
from tests.dispatcher.scene import eventually

if TYPE_CHECKING:
    from shunt.lab.topology import Topology

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

FOUR, SIX = topology.CLUSTERS


def known_to_the_client(standing: Topology) -> str:
    """Return the MAC at which the client looks for the cluster address."""
    found = json.loads(standing.client.ip("-json", "neighbour", "show", str(FOUR)))
    return str(found[0]["lladdr"])


def test_events_from_the_take_over_to_the_end(direct_return: Topology) -> None:
    dispatcher, client = direct_return.dispatcher, direct_return.client
    nginx.start_all(direct_return)
    hooks = dispatcher.directory / "hooks"
    hooks.mkdir()
    for name in ("goIdle", "goInOp", "quiesced", "foreignArp"):
        words = f'echo "{name} $* [$SHUNT_ADDRESSES]" >> {hooks}/said'
        (hooks / name).write_text(f"#!/bin/sh\n{words}\n")
        (hooks / name).chmod(0o755)

    def said() -> list[str]:
        path = hooks / "said"
        return path.read_text().splitlines() if path.exists() else []

    text = direct_return.configuration()
    text = text.replace("  interface: eth0\n", f"  interface: eth0\n  hooks: {hooks}\n")
    text = text.replace("servers: [a, b, c]", "servers: [a, b, c], stale: 1s")
    running = daemon.start(dispatcher, text)
    addresses = f"[{FOUR} {SIX}]"
    eventually(lambda: said() == [f"goIdle  {addresses}"], "the take-over was told")

    client.run(["curl", "-s", "-m5", f"http://{FOUR}/"])
    own, stranger = known_to_the_client(direct_return), direct_return.servers["a"]
    for times in (1, 2):  # the second is not told again, and defended against all the same
        stranger.call(lambda: announce("eth0", [FOUR]))
        eventually(lambda: known_to_the_client(direct_return) == own, "the client came back")
        eventually(lambda: running.status()["events"]["foreignArp"] == 1, f"told once of {times}")
    mac = str(stranger.interface("eth0").mac)
    eventually(lambda: f"foreignArp {FOUR} {mac} eth0 []" in said(), "the claim was told")

    added = IPv4Address("192.0.2.11")
    running.config.write_text(text.replace(f'"{FOUR}"', f'"{FOUR}", "{added}"'))
    running.shunt("reload")
    stranger.call(lambda: announce("eth0", [added]))
    eventually(lambda: f"foreignArp {added} {mac} eth0 []" in said(), "a new address is guarded")
    running.config.write_text(text)
    running.shunt("reload")

    request(places(running.root).socket, "quiesce", server="b", services=[])
    eventually(lambda: len([line for line in said() if "quiesced" in line]) == 2, "b was let go")
    assert f"quiesced {FOUR} 80 b 192.0.2.22 []" in said()
    assert running.status()["events"]["quiesced"] == 2

    running.process.kill()
    daemon.start(dispatcher, text).shunt("down")
    assert said()[-1] == f"goInOp  {addresses}"
    assert len([line for line in said() if "goIdle" in line]) == 1, "a restart takes over nothing"
