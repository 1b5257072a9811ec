"""The flow hash and the choice of slot and server, against a second SipHash in plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from shunt.dataplane.kernel import Verdict
from shunt.dispatcher.wishes import Wish
from shunt.model.addresses import packed16
from shunt.model.config import Protocol, Sticky
from tests.bpf.flows import Flow
from tests.bpf.segment import FAMILIES, WEB, A, B, C, Family
from tests.bpf.siphash import siphash
from tests.bpf.world import HASH_KEY, World, service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shunt.dispatcher.ledger import Placed

FLOWS = 100_000
KEY = bytes(range(16))


@pytest.mark.parametrize(
    ("length", "wanted"),
    [
        (0, "310e0edd47db6f72"),
        (1, "fd67dc93c539f874"),
        (7, "37d1018bf50002ab"),
        (8, "6224939a79f5f593"),
        (15, "e545be4961ca29a1"),
        (63, "724506eb4c328a95"),
    ],
)
def test_the_oracle_against_the_reference(length: int, wanted: str) -> None:
    """SipHash-2-4 of 00 01 02 ..., from the authors' reference implementation (vectors.h)."""
    hashed = siphash(KEY, bytes(range(length)), (2, 4))
    assert hashed.to_bytes(8, "little").hex() == wanted


@pytest.mark.skipif(
    sys.hash_info.algorithm != "siphash13", reason="this Python hashes strings in another way"
)
def test_the_oracle_against_pythons_own_hash() -> None:
    """With PYTHONHASHSEED=0 Python's key is zero, and its hash SipHash-1-3 (PEP 456)."""
    program = "print(*(hash(bytes(range(n))) for n in range(1, 64)))"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=True,
        capture_output=True,
        text=True,
    )
    for length, hashed in enumerate(map(int, said.stdout.split()), 1):
        ours = siphash(bytes(16), bytes(range(length)), (1, 3))
        assert ours == hashed % (1 << 64), f"of {length} bytes"


def _flows(random: Random, count: int) -> Iterator[Flow]:
    for _ in range(count):
        family: Family = random.choice(FAMILIES)
        if family.version == 4:
            client: IPv4Address | IPv6Address = IPv4Address(random.getrandbits(32))
        else:
            client = IPv6Address(random.getrandbits(128))
        protocol = random.choice((Protocol.TCP, Protocol.UDP))
        cluster = ip_address(family.cluster(WEB))
        yield Flow(protocol, client, random.getrandbits(16), cluster, 443)


def _hash_of(flow: Flow) -> int:
    """IPv4 and IPv6: client's address and port, and the protocol (bpf/siphash.h)."""
    protocol = bytes([flow.protocol.number])
    message = flow.client.packed + flow.client_port.to_bytes(2) + protocol
    return siphash(HASH_KEY, message, (1, 3))


def _placed(world: World, flow: Flow) -> Placed:
    return world.balancer.placed[flow.cluster, flow.protocol, flow.port]


@pytest.mark.bpf
def test_hash_slot_and_server_of_many_flows(segment: World) -> None:
    flows = list(_flows(Random(1), FLOWS))
    tables = {
        id(placed.table): segment.balancer.slots_of(placed.table) & 0xFFFF
        for placed in segment.balancer.placed.values()
    }
    servers = {server.claim().identity: server for server in (A, B, C)}
    width = max(len(flow.frame()) for flow in flows)
    frames = np.zeros((len(flows), width), np.uint8)
    lengths, expected = [], []
    for row, flow in enumerate(flows):
        frame = flow.frame()
        frames[row, : len(frame)] = np.frombuffer(frame, np.uint8)
        lengths.append(len(frame))
        hashed, table = _hash_of(flow), _placed(segment, flow).table
        slot = hashed % table.slots.size
        member = int(tables[id(table)][slot])
        decision = segment.trace(frame)
        assert (decision.hash, decision.slot, decision.member) == (hashed, slot, member), flow
        identity = next(i for i, number in table.locals.items() if number == member)
        mac = servers[identity].mac
        assert mac is not None
        expected.append(list(mac.octets))
    batch, causes = segment.send_many(frames, lengths)
    assert causes == {"forwarded": FLOWS}
    assert (batch.verdicts == Verdict.TX).all()
    assert (batch.frames[:, :6] == np.array(expected)).all()


@pytest.mark.bpf
def test_hash_of_sticky_services(tmp_path: Path) -> None:
    """Of the client under the mask and the affinity's number, which linked services share."""
    random = Random(2)
    sticky = {port: Sticky(60, mask4=20, mask6=44, cross=cross) for port, cross in
              ((443, (80,)), (80, (443,)), (25, ()))}  # fmt: skip
    claims = (A.claim(1), B.claim(2))
    with World.made(tmp_path) as world:
        world.balancer.apply([
            Wish(service(f.cluster(WEB), port, sticky=sticky[port]), claims)
            for f in FAMILIES
            for port in sticky
        ])  # fmt: skip
        for flow in _flows(random, 1000):
            for port in sticky:
                there = Flow(Protocol.TCP, flow.client, flow.client_port, flow.cluster, port)
                placed = _placed(world, there)
                bits = 20 if flow.client.version == 4 else 44
                masked = ip_network((flow.client, bits), strict=False).network_address
                message = packed16(masked) + placed.affinity.to_bytes(4, "little")
                assert world.trace(there.frame()).hash == siphash(HASH_KEY, message, (1, 3))
        at = world.balancer.placed
        for f in FAMILIES:
            numbers = [
                at[ip_address(f.cluster(WEB)), Protocol.TCP, port].affinity for port in sticky
            ]
            assert numbers[0] == numbers[1] != numbers[2]
