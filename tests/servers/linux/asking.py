"""Questions on the wire, and what a server answers; a control question closes each round."""

from __future__ import annotations

import select
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Self

from shunt.model.addresses import BROADCAST, Mac
from shunt.network.frames import (
    Advertisement,
    Arp,
    Envelope,
    Frame,
    Solicitation,
    arp_request,
    echo_request,
    neighbour_solicitation,
)
from shunt.network.frames.arp import REPLY
from shunt.network.packets import PacketSocket

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from shunt.lab.host import Host

OWN = IPv4Address("10.9.0.5")
OWN6 = IPv6Address("2001:db8:9::5")
ASKER = IPv4Address("10.9.0.77")
ASKER6 = IPv6Address("2001:db8:9::77")
STRANGER = IPv4Address("10.9.0.78")
PATIENCE = 2.0  # seconds that an answer may take; only a missing one takes that long


class Asker:
    """A packet socket in the segment, and the forms of asking."""

    def __init__(self, machine: Host, server: Host) -> None:
        self._socket = machine.call(lambda: PacketSocket("eth0"))
        self.mac = machine.interface("eth0").mac
        self.server = server.interface("eth0").mac
        self.own = {OWN: self.server}  # every NIC's address and MAC, for the control question

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def says(
        self, address: IPv4Address, *, sender: IPv4Address = ASKER, to: Mac = BROADCAST
    ) -> set[Mac]:
        """Return who answers ARP for `address`.

        A round is over when every NIC has answered for its own address, which it was asked last.
        """
        macs: set[Mac] = set()
        for _ in range(2):
            self._socket.send(arp_request(self.mac, address, sender, to))
            for own in self.own:
                self._socket.send(arp_request(self.mac, own, ASKER))
            wanted = set(self.own.items())

            def over(frame: Frame, wanted: set[tuple[IPv4Address, Mac]] = wanted) -> bool:
                wanted.discard(_claim(frame))
                return not wanted

            heard = self._until(over)
            assert heard is not None, "the server does not answer for its own address"
            macs |= {frame.link.source for frame in heard if _claim(frame)[0] == address}
        return macs

    def answers_for_itself(self, sender: IPv4Address = ASKER) -> bool:
        """Whether ARP for the server's own address is answered."""
        self._socket.send(arp_request(self.mac, OWN, sender))
        return self._until(lambda frame: _claim(frame)[0] == OWN) is not None

    def says6(self, address: IPv6Address) -> set[Mac]:
        """Return who answers neighbour solicitations for `address`, to its group and to itself."""
        for to in (None, self.server):
            self._socket.send(neighbour_solicitation(self.mac, address, ASKER6, to))
        self._socket.send(neighbour_solicitation(self.mac, OWN6, ASKER6))
        heard = self._until(lambda frame: _advertised(frame) == OWN6)
        assert heard is not None, "the server does not answer for its own address"
        return {frame.link.source for frame in heard if _advertised(frame) == address}

    def asks_as(self, cluster: IPv4Address, client: IPv4Address = STRANGER) -> IPv4Address:
        """Return the address that the server puts into its own request when it must reply."""
        envelope = Envelope(self.mac, self.server, client, cluster)
        self._socket.send(echo_request(envelope, 7, 1))
        heard = self._until(lambda frame: _sought(frame) == client)
        assert heard is not None, "the server never asks for the client"
        request = heard[-1].network
        assert isinstance(request, Arp)
        return request.sender

    def is_reached(self, cluster: IPv4Address | IPv6Address) -> bool:
        """Whether a ping to the cluster address at the server's MAC makes it look for the client.

        A server without the address drops the ping, or would send it on.
        """
        client: IPv4Address | IPv6Address = (
            STRANGER if cluster.version == 4 else IPv6Address("2001:db8:9::78")
        )
        envelope = Envelope(self.mac, self.server, client, cluster)
        self._socket.send(echo_request(envelope, 7, 1))
        return self._until(lambda frame: _sought(frame) == client) is not None

    def _until(self, last: Callable[[Frame], bool]) -> list[Frame] | None:
        """Return what is heard until `last` says so; None if it never comes."""
        heard: list[Frame] = []
        while select.select([self._socket], [], [], PATIENCE)[0]:
            while (data := self._socket.receive_now()) is not None:
                frame = data.parsed()
                if isinstance(frame, Frame):
                    heard.append(frame)
                    if last(frame):
                        return heard
        return None


def _claim(frame: Frame) -> tuple[IPv4Address | None, Mac]:
    """Return whom an ARP reply claims to be, and its MAC.

    A server's own requests claim something, too; it goes on with them for seconds (`asks_as`).
    """
    arp = frame.network
    return (
        arp.sender if isinstance(arp, Arp) and arp.operation == REPLY else None
    ), frame.link.source


def _advertised(frame: Frame) -> IPv6Address | None:
    return frame.message.target if isinstance(frame.message, Advertisement) else None


def _sought(frame: Frame) -> IPv4Address | IPv6Address | None:
    """Return whom an ARP request or a neighbour solicitation asks for."""
    if isinstance(frame.message, Solicitation):
        return frame.message.target
    return frame.network.target if isinstance(frame.network, Arp) else None
