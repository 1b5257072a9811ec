"""The TCP/IP stack apart: it speaks through its carrier only, and leaves with it."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.model.addresses import Mac
from shunt.network.footprint import Trace, footprint
from shunt.network.frames import Flag, Ip
from shunt.network.frames.ip import ip, parse_ipv4, parse_ipv6
from shunt.network.frames.transport import Segment, parse_tcp, tcp_payload
from shunt.network.pseudo_host import PseudoHost
from tests.network.waiting import eventually

if TYPE_CHECKING:
    from shunt.lab.lab import Lab

pytestmark = pytest.mark.lab

ENDS = {
    4: (ip_address("192.0.2.77"), ip_address("192.0.2.10")),
    6: (ip_address("2001:db8::77"), ip_address("2001:db8::10")),
}


async def _packet(stack: PseudoHost) -> Ip:
    """Return the next TCP packet that the stack sends."""
    found: list[Ip] = []

    def look() -> bool:
        while (data := stack.read()) is not None:
            packet = (parse_ipv6 if data[0] >> 4 == 6 else parse_ipv4)(data)
            if packet.protocol == 6:
                found.append(packet)
        return bool(found)

    await eventually(look)
    return found[0]


@pytest.mark.parametrize("version", [4, 6])
async def test_a_connection_opens_through_the_carrier(version: int) -> None:
    ours, theirs = ENDS[version]
    with PseudoHost() as stack:
        stack.add(ours)
        sock = stack.socket(ours, 4242)
        loop = asyncio.get_running_loop()
        connecting = asyncio.create_task(loop.sock_connect(sock, (str(theirs), 80)))
        packet = await _packet(stack)
        syn = parse_tcp(packet)
        assert (packet.source, packet.destination) == (ours, theirs)
        assert (syn.source, syn.destination, syn.flags) == (4242, 80, Flag.SYN)
        answer = Segment(80, 4242, 7, syn.sequence + 1, Flag.SYN | Flag.ACK, mss=1400)
        stack.write(ip(Ip(theirs, ours, 6, 64, tcp_payload(theirs, ours, answer))))
        async with asyncio.timeout(10):
            await connecting
        sock.send(b"GET")
        data = parse_tcp(await _packet(stack))
        assert data.data == b"GET"  # the handshake's third segment came along with it
        sock.close()


def test_nothing_shows_in_the_machines_own_namespace() -> None:
    links, open_files = Path("/sys/class/net"), Path("/proc/self/fd")
    before = sorted(links.iterdir()), len(list(open_files.iterdir()))
    with PseudoHost() as stack:
        stack.add(ENDS[4][0])
        assert sorted(links.iterdir()) == before[0]
        assert footprint({ENDS[4][0]}, Mac(b"\x02" * 6)) == frozenset()
    assert len(list(open_files.iterdir())) == before[1]


def test_garbage_from_the_wire_is_lost_and_no_error() -> None:
    with PseudoHost() as stack:
        for packet in (b"\x00", b"\x45" * 10, b"\x60" * 60, bytes(1400)):
            stack.write(packet)


def test_footprint_sees_what_concerns_it(lab: Lab) -> None:
    lab.segment("lan")
    host = lab.host("a")
    lab.join(host, "lan", addresses=["192.0.2.1/24", "2001:db8::1/64"])
    mac = Mac.parse("02:00:00:00:00:77")
    host.ip("neighbour", "add", "192.0.2.10", "lladdr", "52:54:00:00:00:01", "dev", "eth0")
    host.ip("neighbour", "add", "2001:db8::5", "lladdr", str(mac), "dev", "eth0")
    host.ip("neighbour", "add", "192.0.2.11", "lladdr", "52:54:00:00:00:01", "dev", "eth0")
    host.ip("route", "add", "192.0.2.10/32", "dev", "eth0")
    assert host.call(lambda: footprint({ip_address("192.0.2.10")}, mac)) == {
        Trace("neighbour", ip_address("192.0.2.10"), Mac.parse("52:54:00:00:00:01")),
        Trace("neighbour", ip_address("2001:db8::5"), mac),
        Trace("route", ip_address("192.0.2.10"), prefix=32),
    }
