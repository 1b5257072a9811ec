"""What the examination says of itself: whether it heard everything, and what it left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.sayings import heard

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from shunt.network.footprint import Trace
    from shunt.verify.reading import Reading


def everything_heard(reading: Reading, dropped: int) -> Iterator[Finding]:
    """Yield whether all was heard that was sent to the verifier, and to it alone.

    `dropped` is how many frames the kernel had no room for. An address that somebody else uses by
    now may have got the answers (RFC 5227 section 2.4: it must not be used any longer).
    """
    unclear: list[tuple[Cause, tuple[str, ...]]] = []
    if dropped:
        unclear.append((Cause.FRAMES_LOST, (f"the kernel dropped {dropped} frames",)))
    unclear += [
        (Cause.BORROWED_TAKEN, heard(reading, voices))
        for address in sorted(reading.identity.addresses, key=str)
        if (voices := reading.transcript.claims.get(address))
    ]
    for cause, evidence in unclear:
        yield Finding(Check.HEARD, "", None, Verdict.UNKNOWN, cause, evidence=evidence)
    if not unclear:
        yield Finding(Check.HEARD, "", None, Verdict.RIGHT)


def nothing_left(reading: Reading, before: Collection[Trace], after: Collection[Trace]) -> Finding:
    """Return whether this machine's tables are as before, as far as the verifier can change them.

    An entry that leads a borrowed address to another machine is that machine's doing.
    """
    clusters = {cluster.address for cluster in reading.subject.clusters}
    borrowed, mac = reading.identity.addresses, reading.identity.mac
    left = [
        trace
        for trace in sorted(set(after) - set(before))
        if trace.address in clusters
        or trace.mac == mac
        or (trace.mac is None and trace.address in borrowed)
    ]
    verdict, cause = (Verdict.WRONG, Cause.LEFT_BEHIND) if left else (Verdict.RIGHT, None)
    return Finding(Check.VERIFIER, "", None, verdict, cause, evidence=tuple(map(str, left)))
