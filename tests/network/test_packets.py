"""Packet sockets on a real segment: what is heard, what the filter keeps, what is given back."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import HostError, NetworkError
from shunt.model.addresses import Mac
from shunt.network import frames
from shunt.network.filters import claims_and_frames_to
from shunt.network.frames import Arp, Envelope, Frame
from shunt.network.packets import Heard, PacketSocket
from tests.network.odd import behind_hop_by_hop

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

pytestmark = pytest.mark.lab

FOUR, OTHER4 = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
SIX, OTHER6 = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
THIRD = Mac.parse("02:00:00:00:00:77")
LONG = b"long enough to need no padding"  # which a bridge may cut off


@pytest.fixture
def pair(lab: Lab) -> tuple[Host, Host]:
    lab.segment("lan")
    hosts = lab.host("a"), lab.host("b")
    for host in hosts:
        host.sysctl("net.ipv6.conf.default.disable_ipv6", "1")  # no chatter of the kernel's own
        lab.join(host, "lan")
    return hosts


def _open(host: Host, **how: object) -> PacketSocket:
    make: Callable[..., PacketSocket] = PacketSocket
    return host.call(lambda: make("eth0", **how))


async def _hear(socket: PacketSocket, count: int) -> list[Heard]:
    async with asyncio.timeout(10):
        return [await socket.receive() for _ in range(count)]


def _parsed(heard: Heard) -> Frame:
    frame = heard.parsed()
    assert isinstance(frame, Frame)
    return frame


async def test_frames_arrive_as_sent_with_their_time_and_tag(pair: tuple[Host, Host]) -> None:
    with _open(pair[0]) as a, _open(pair[1]) as b:
        before = time.time()
        plain = frames.arp_request(b.mac, FOUR)
        tagged = frames.arp_request(b.mac, FOUR, vlan=5)
        for frame in (plain, tagged):
            b.send(frame)
        heard = await _hear(a, 2)
        assert [each.data for each in heard] == [plain, tagged]
        assert before - 1 < heard[0].when <= heard[1].when < time.time() + 1
        assert _parsed(heard[1]).link.vlans == (5,)
        assert b.receive_now() is None  # nobody hears himself
        assert a.mac == pair[0].interface("eth0").mac


async def test_the_filter_keeps_claims_and_frames_to_its_macs(pair: tuple[Host, Host]) -> None:
    with _open(pair[0], keep=claims_and_frames_to(THIRD), also=(THIRD,)) as a, _open(pair[1]) as b:
        kept = [
            frames.arp_request(b.mac, FOUR),
            frames.echo_request(Envelope(b.mac, THIRD, FOUR, OTHER4), 3, 1, LONG),
            frames.unsolicited_advertisement(b.mac, SIX),
            frames.neighbour_solicitation(b.mac, SIX),
            behind_hop_by_hop(frames.unsolicited_advertisement(b.mac, SIX)),
            frames.echo_request(Envelope(b.mac, THIRD, SIX, OTHER6), 3, 1, LONG),
        ]
        lost = [
            frames.echo_request(Envelope(b.mac, a.mac, FOUR, OTHER4), 3, 1, LONG),
            frames.echo_request(Envelope(b.mac, a.mac, SIX, OTHER6), 3, 1, LONG),
            frames.udp_datagram(Envelope(b.mac, a.mac, SIX, OTHER6), (1, 2)),
            frames.echo_request(
                Envelope(b.mac, Mac(THIRD.octets[:5] + b"\x78"), FOUR, OTHER4), 3, 1
            ),
        ]
        for frame in (*lost, *kept):
            b.send(frame)
        assert [each.data for each in await _hear(a, len(kept))] == kept
        assert a.receive_now() is None


async def test_a_checksum_left_to_the_card_is_told(lab: Lab, pair: tuple[Host, Host]) -> None:
    """A sender on the same machine never computes it; the frame is good all the same."""
    pair[1].run(["ethtool", "-K", "eth0", "tx", "on"])
    port = lab.peer_port(pair[0]).interface
    lab.segments["lan"].run(["ethtool", "-K", port, "tx", "on"])
    pair[1].ip("address", "add", f"{OTHER4}/24", "dev", "eth0")
    with _open(pair[0]) as a:
        mac = pair[0].interface("eth0").mac
        pair[1].ip("neighbour", "add", str(FOUR), "lladdr", str(mac), "dev", "eth0")
        script = f"import socket; socket.socket(type=2).sendto(b'x' * 32, ('{FOUR}', 9))"
        pair[1].python("-c", script)
        heard = (await _hear(a, 1))[0]
        assert not heard.checksum_ready
        assert _parsed(heard).message is not None


def test_what_the_kernel_has_no_room_for_is_counted(pair: tuple[Host, Host]) -> None:
    with _open(pair[0], buffer=4096) as a, _open(pair[1]) as b:
        for _ in range(500):
            b.send(frames.arp_request(b.mac, FOUR))
        got = 0
        while a.receive_now() is not None:
            got += 1
        assert a.dropped() == 500 - got > 0
        assert a.dropped() == 500 - got  # reading does not lose the count


def test_the_interface_is_given_back(pair: tuple[Host, Host]) -> None:
    def promiscuity() -> int:
        words = pair[0].ip("-d", "link", "show", "eth0").split()
        return int(words[words.index("promiscuity") + 1])

    with _open(pair[0], promiscuous=True):
        assert promiscuity() == 1
    with _open(pair[0], also=(THIRD,)):
        assert promiscuity() == 1  # a veth has no filter for a second MAC
    assert promiscuity() == 0


async def test_an_interface_that_goes_away_is_an_error(pair: tuple[Host, Host]) -> None:
    with _open(pair[0]) as a:
        receiving = asyncio.create_task(a.receive())
        await asyncio.sleep(0)
        pair[0].ip("link", "set", "eth0", "down")
        async with asyncio.timeout(10):
            with pytest.raises(NetworkError, match="eth0"):
                await receiving
        with pytest.raises(NetworkError, match="sending on eth0"):
            a.send(frames.arp_request(a.mac, FOUR))


def test_an_unknown_interface_is_named(pair: tuple[Host, Host]) -> None:
    with pytest.raises(HostError, match="eth9") as raised:
        pair[0].call(lambda: PacketSocket("eth9"))
    assert "eth0" in (raised.value.hint or "")


async def test_receivers_do_not_lose_what_came_before(pair: tuple[Host, Host]) -> None:
    with _open(pair[0]) as a, _open(pair[1]) as b:
        targets = [IPv4Address(f"192.0.2.{number}") for number in range(1, 200)]
        for target in targets:
            b.send(frames.arp_request(b.mac, target))
        heard = [_parsed(each).network for each in await _hear(a, len(targets))]
        assert [each.target for each in heard if isinstance(each, Arp)] == targets
