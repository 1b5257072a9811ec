"""One examination from beginning to end: a place to stand, the procedure, the verdicts.

Nothing of the verifier's own network settings is changed. That is not assumed: its tables are
read before and after.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.errors import HostError
from shunt.model.addresses import BROADCAST, Mac
from shunt.network.filters import claims_and_frames_to
from shunt.network.footprint import footprint
from shunt.network.frames.neighbour import group_mac
from shunt.network.packets import PacketSocket
from shunt.network.pseudo_host import PseudoHost
from shunt.verify.aftermath import everything_heard, nothing_left
from shunt.verify.findings import Finding, Verdict
from shunt.verify.judge import judge
from shunt.verify.place import find_place
from shunt.verify.procedure import Procedure
from shunt.verify.transcript import LATEST
from shunt.verify.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shunt.model.addresses import Address
    from shunt.network.links import Link
    from shunt.verify.phase import Phase
    from shunt.verify.subject import Identity, Subject
    from shunt.verify.transcript import Event, Transcript

_FIRST_PORTS = range(20000, 45000)  # where local ports and identifiers begin, at random


@dataclass(frozen=True, slots=True)
class Manner:
    """How to examine.

    Attributes:
        interface: Where; None finds the one whose network the servers are in.
        rate: Frames a second at most.
        borrow: Addresses to borrow instead of found ones.
        mac: The pretended machine's MAC instead of one made up.
        requests: Whether a TCP stack of its own may be made for real requests.
        listen: For how many seconds late answers are waited for.
        control: Where a dispatcher on this machine would have its control socket.
    """

    interface: str | None = None
    rate: float = 200
    borrow: tuple[Address, ...] = ()
    mac: Mac | None = None
    requests: bool = True
    listen: float = LATEST
    control: Path | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it. `left_out` says in words what was not examined, and why.

    Of the frames that were `heard`, `unkept` are not among the `events`: there were too many.
    """

    subject: Subject
    identity: Identity
    interface: str
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...]
    phases: tuple[Phase, ...]
    events: tuple[Event, ...]
    seconds: float
    heard: int
    unkept: int
    malformed: int
    dropped: int

    @property
    def exit_code(self) -> int:
        """Return 1 if something is wrong, else 3 if something could not be told, else 0."""
        verdicts = {finding.verdict for finding in self.findings}
        if Verdict.WRONG in verdicts:
            return 1
        return 3 if Verdict.UNKNOWN in verdicts else 0


async def examine(
    subject: Subject,
    manner: Manner,
    progress: Callable[[Phase], None] = lambda _: None,
    transcript: Transcript | None = None,
) -> Report:
    """Examine `subject` from this machine.

    A `transcript` of the caller's grows meanwhile; it keeps what was heard if this is interrupted.

    Raises:
        HostError: no CAP_NET_RAW, no such interface, none in the servers' network, or this
            machine is a part of what is examined.
        UsageError: an address must not be borrowed.
        NetworkError: the interface went away, or the segment is too loud.
    """
    begin = time.monotonic()
    place = find_place(subject, manner.interface, manner.control)
    link = place.link
    chance = random.SystemRandom()
    mac = manner.mac or _made_up(chance)
    offered = place.offered(subject, manner.borrow, chance)
    phases: list[Phase] = []
    left_out = [] if manner.requests else ["requests to applications: not wished"]

    def follow(phase: Phase) -> None:
        phases.append(phase)
        progress(phase)

    with ExitStack() as kept:
        keep = claims_and_frames_to(mac, BROADCAST)
        stack = _stack(kept, link, left_out) if manner.requests else None
        concerned = {cluster.address for cluster in subject.clusters}
        concerned |= {address for each in offered.values() for address in each}
        before = footprint(concerned, mac)
        procedure = Procedure(
            subject,
            mac,
            offered,
            connects=stack is not None if manner.requests else None,
            transcript=transcript,
            card=None if manner.mac is None else link.mac,
            first_number=chance.choice(_FIRST_PORTS),
            networks=place.networks,
            listen=manner.listen,
        )
        # Some cards, and every macvlan, pass no group on that nobody asked for.
        also = (mac, *map(group_mac, procedure.identity.groups))
        socket = kept.enter_context(PacketSocket(link.name, keep=keep, also=also))
        await Wire(procedure, socket, stack=stack, rate=manner.rate, progress=follow).run()
        dropped = socket.dropped()
    reading = procedure.reading
    itself = (
        *everything_heard(reading, dropped),
        nothing_left(reading, before, footprint(concerned, mac)),
    )
    heard_and_sent = reading.transcript
    return Report(
        subject,
        procedure.identity,
        link.name,
        (*judge(reading), *itself),
        tuple(left_out),
        tuple(phases),
        tuple(heard_and_sent.events),
        time.monotonic() - begin,
        heard_and_sent.heard_count,
        heard_and_sent.unkept,
        heard_and_sent.malformed,
        dropped,
    )


def _stack(kept: ExitStack, link: Link, left_out: list[str]) -> PseudoHost | None:
    try:
        return kept.enter_context(PseudoHost(link.mtu))
    except HostError as error:
        left_out.append(f"requests to applications: {error.message}")
        return None


def _made_up(chance: random.Random) -> Mac:
    """Return a MAC that no maker gave away: locally administered, one machine's."""
    return Mac(bytes((0x02, *chance.randbytes(5))))
