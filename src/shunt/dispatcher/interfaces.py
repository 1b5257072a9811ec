"""The dispatcher's interfaces as they are now, and what is wrong with them.

`problems` and `notes` judge, and are pure; `InterfaceMonitor` looks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from shunt.dataplane.attach import Mode
from shunt.network.ethtool import frames_not_sent, tags_taken_off
from shunt.network.links import XdpMode, links, peer_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shunt.dataplane.plane import Plane
    from shunt.network.links import Link

log = structlog.get_logger()

LATELY = 60.0  # seconds
_NATIVE_MTU = 3498  # bytes: what one page holds beside headroom and skb_shared_info (linux/veth.c)
NONE_UNFIT: Mapping[str, str] = MappingProxyType({})
_VETH = "veth"
_NO_HEADERS = "its driver shows the program no headers of jumbo frames"


class Problem(NamedTuple):
    """What is wrong: a word for programs, and a sentence that goes on from the interface's name."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """An interface of the dispatcher.

    Attributes:
        name: that it had when the program was attached, as in the configuration.
        mode: where the program runs.
        native_refused: why not in the driver; "" if it does, or was not tried.
        link: as the kernel has it; None if it is gone.
        not_sent: frames of the program that did not leave, since the interface was made.
        not_sent_lately: the same within a minute; None if nobody has counted.
        tags_off: VLAN tags that the driver takes off, by `ethtool -K`'s words; None if it does not
            tell.
        vlans: interfaces of VLANs on top of it.
        closed: why frames of a native program cannot leave; "" if they can.
        hides: its driver lately let a native program see no headers of jumbo frames.
    """

    name: str
    mode: Mode
    native_refused: str = ""
    link: Link | None = None
    not_sent: int = 0
    not_sent_lately: int | None = None
    tags_off: tuple[str, ...] | None = None
    vlans: tuple[str, ...] = ()
    closed: str = ""
    hides: bool = False

    def document(self) -> dict[str, Any]:
        """Return it for `shunt status --json`."""
        link = self.link
        return {
            "mode": str(self.mode) if link else "gone",
            "native_refused": self.native_refused or None,
            "name": link.name if link else None,
            "up": link.up if link else False,
            "carrier": link.running if link else False,
            "mtu": link.mtu if link else None,
            "not_sent": self.not_sent,
            "not_sent_last_minute": self.not_sent_lately,
            "vlan_tags_taken_off": None if self.tags_off is None else bool(self.tags_off),
            "problems": [problem._asdict() for problem in problems(self)],
            "notes": list(notes(self)),
        }


def problems(state: InterfaceState) -> Iterator[Problem]:
    """Yield what keeps requests from being forwarded on an interface, and what to do; pure."""
    link = state.link
    if link is None:
        yield Problem("gone", "is gone: nothing is received there")
        return
    if link.name != state.name:
        yield Problem(
            "renamed",
            f"is named {link.name} now: write that in the configuration and `shunt reload`, "
            "or give it its old name back",
        )
    if not link.up:
        yield Problem("down", f"is down: ip link set dev {link.name} up")
    elif not link.running:
        yield Problem("no_carrier", "has no carrier: look at the cable, or at the other end")
    if state.mode is not Mode.NATIVE:
        return
    if state.closed:
        yield Problem("closed", f"lets no frame out: {state.closed}")
    elif state.not_sent_lately:
        lost = state.not_sent_lately
        yield Problem("lost", f"could not send {lost:,} frames in the last minute")
    if state.hides:
        yield Problem("no_headers", f"serves nobody: {_NO_HEADERS}; set mode: generic")
    if state.tags_off and state.vlans:
        yield Problem(
            "vlan_tags",
            f"takes VLAN tags off before the program runs, and has {', '.join(state.vlans)}: "
            f"tagged requests would be sent on untagged. {_keep_tags(link, state.tags_off)}",
        )


def notes(state: InterfaceState) -> Iterator[str]:
    """Yield what an operator should know of an interface that may be all right; pure."""
    link = state.link
    if link is None:
        return
    if state.mode is Mode.GENERIC and state.native_refused and link.mtu > _NATIVE_MTU:
        yield (
            f"has an MTU of {link.mtu}: many drivers run XDP programs up to about "
            f"{_NATIVE_MTU} bytes only"
        )
    if state.mode is Mode.NATIVE and state.tags_off and not state.vlans:
        yield (
            "takes VLAN tags off before the program runs: if requests come tagged, "
            f"{_keep_tags(link, state.tags_off)}"
        )


def _keep_tags(link: Link, taken_off: tuple[str, ...]) -> str:
    return f"ethtool -K {link.name} {' '.join(f'{word} off' for word in taken_off)}"


def closed(link: Link, peer: Link | None) -> str:
    """Return why a native program's frames would not leave an interface, or ""; pure.

    A veth hands what a native program sends back (XDP_TX) to its other end only while that runs a
    native program, too (Linux, drivers/net/veth.c, veth_xdp_flush). With GRO on there, the frames
    even count as sent. Other drivers know nothing of the kind.

    Args:
        link: the interface.
        peer: its other end; None if it cannot be seen.
    """
    if link.kind != _VETH:
        return ""
    if peer is None:
        return "the other end of this veth pair cannot be seen from here"
    if peer.xdp is None or peer.xdp.mode not in {XdpMode.NATIVE, XdpMode.MULTI}:
        return f"the other end of this veth pair, {peer.name}, runs no XDP program in native mode"
    return ""


def why_closed(link: Link) -> str:
    """Look at the other end, and return why frames would not leave, or "".

    Raises:
        NetworkError: the kernel did not tell.
    """
    return closed(link, peer_of(link) if link.kind == _VETH else None)


@dataclass(slots=True)
class InterfaceMonitor:
    """Looks at the interfaces, and says when one has a new problem or is rid of an old one.

    Attributes:
        unfit: by the last look, interfaces that native mode does not suit, each with the reason.
    """

    unfit: Mapping[str, str] = field(default_factory=dict)
    _headless: tuple[int, float] | None = None
    _hides: bool = False
    _lost: deque[tuple[float, dict[int, int]]] = field(default_factory=deque)
    _told: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def look(self, plane: Plane, at: float) -> None:
        """Look, and log what is new; `at` in seconds of the monotonic clock.

        Raises:
            NetworkError: the kernel did not tell.
        """
        headless = plane.causes()["passed_no_headers"]
        before, since = self._headless or (headless, -LATELY)
        self._headless = headless, at if headless > before else since
        self._hides = at - self._headless[1] < LATELY
        while self._lost and self._lost[0][0] < at - LATELY:
            self._lost.popleft()
        states = self.states(plane)
        indices = {state.link.index: state.not_sent for state in states if state.link}
        self._lost.append((at, indices))
        self.unfit = {
            state.link.name: reason
            for state in states
            if state.link and (reason := state.closed or (_NO_HEADERS if state.hides else ""))
        }
        found = {state.name: dict(problems(state)) for state in states}
        for name, there in found.items():
            told = self._told.get(name, frozenset())
            for kind in there.keys() - told:
                log.warning("interface", interface=name, problem=there[kind])
            for kind in told - there.keys():
                log.info("interface is rid of a problem", interface=name, problem=kind)
        self._told = {name: frozenset(there) for name, there in found.items()}

    def document(self, plane: Plane) -> dict[str, Any]:
        """Return the interfaces for `shunt status --json`, by name.

        Raises:
            NetworkError: the kernel did not tell.
        """
        return {state.name: state.document() for state in self.states(plane)}

    def states(self, plane: Plane) -> tuple[InterfaceState, ...]:
        """Look at every interface that carries the program.

        Raises:
            NetworkError: the kernel did not tell.
        """
        there = links()
        by_index = {link.index: link for link in there}
        return tuple(
            self._state(name, mode, refused, by_index.get(index), there)
            for name, (index, mode, refused) in _attached(plane).items()
        )

    def _state(
        self, name: str, mode: Mode, refused: str, link: Link | None, there: tuple[Link, ...]
    ) -> InterfaceState:
        if link is None:
            return InterfaceState(name, mode, refused)
        lost = frames_not_sent(link.name)
        return InterfaceState(
            name,
            mode,
            refused,
            link,
            not_sent=lost,
            not_sent_lately=self._lately(link.index, lost),
            tags_off=tags_taken_off(link.name),
            vlans=tuple(e.name for e in there if (e.kind, e.peer) == ("vlan", link.index)),
            closed=why_closed(link) if mode is Mode.NATIVE else "",
            hides=self._hides and mode is Mode.NATIVE and link.mtu > _NATIVE_MTU,
        )

    def _lately(self, index: int, lost: int) -> int | None:
        before = next((counts[index] for _, counts in self._lost if index in counts), None)
        return None if before is None else max(0, lost - before)


def _attached(plane: Plane) -> Mapping[str, tuple[int, Mode, str]]:
    """Return index, mode, and why it is not native, of each attachment, by name."""
    return {
        name: (each.link.info().ifindex, each.mode, each.native_refused)
        for name, each in plane.links.items()
    }
