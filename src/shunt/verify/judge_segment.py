"""Verdicts on everybody else: strangers that answer, and the dispatcher where one runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import Protocol
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.ledger import Key, Purpose
from shunt.verify.reading import STRANGERS
from shunt.verify.sayings import heard
from shunt.verify.vendors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Mac
    from shunt.verify.reading import Reading
    from shunt.verify.subject import Cluster, Port


def segment(reading: Reading, cluster: Cluster) -> Iterator[Finding]:
    """Yield the findings on all machines but the cluster's servers."""
    found = list(_others(reading, cluster))
    if (unread := reading.transcript.unreadable.get(cluster.address)) is not None:
        frame, broken = unread
        seen = f"{broken.layer}: {broken.reason}: {frame[:64].hex()}"
        found.append(_other(cluster, Verdict.UNKNOWN, Cause.UNREADABLE, seen))
    yield from found or [_other(cluster, Verdict.RIGHT, None)]
    if reading.subject.live:
        yield from _dispatcher(reading, cluster)


def _others(reading: Reading, cluster: Cluster) -> Iterator[Finding]:
    strangers = [mac for each, mac in reading.strangers() if each == cluster]
    crowd = reading.transcript.crowd[cluster.address]
    if crowd or len(strangers) > STRANGERS:
        told = [mac for mac in strangers if _took_something(reading, cluster, mac)]
        yield _crowd(reading, cluster, [mac for mac in strangers if mac not in told], crowd)
        strangers = told
    others = _other_servers(reading, cluster)
    for mac in (*strangers, *others):
        yield _stranger(reading, cluster, mac, others.get(mac))
    for (speaker, mac), voices in list(reading.impersonated(cluster).items())[:STRANGERS]:
        owner = reading.owners().get(mac)
        verdict = Verdict.WARNING if owner is None else Verdict.WRONG
        whose = f"{describe(mac)} is {owner or 'the dispatcher'}, {describe(speaker)} is not"
        evidence = *heard(reading, voices), whose
        yield _other(cluster, verdict, Cause.SPEAKS_FOR_ANOTHER, *evidence)


def _other(cluster: Cluster, verdict: Verdict, cause: Cause | None, *evidence: str) -> Finding:
    return Finding(Check.OTHERS, "", cluster.address, verdict, cause, evidence=evidence)


def _took_something(reading: Reading, cluster: Cluster, mac: Mac) -> bool:
    """Whether a machine is known to be behind a MAC: it has answered what was sent there."""
    keys = [Key(Purpose.STRANGER_PORT, "", cluster.address, each, mac) for each in cluster.ports]
    pinged = reading.echoes(Key(Purpose.STRANGER_PING, "", cluster.address, None, mac))
    return bool(pinged) or any(map(reading.replied, keys))


def _crowd(reading: Reading, cluster: Cluster, macs: list[Mac], crowd: int) -> Finding:
    """Return the one finding on claimants of whom there are too many to be real."""
    voices = reading.transcript.voices(cluster.address)
    claims = crowd + sum(
        reading.transcript.times(claim)
        for mac in macs
        for claim in dict.fromkeys(voiced.claim for voiced in voices[mac])
    )
    more = " or more" if crowd else ""
    tried = [mac for mac in macs if reading.looked_into(cluster, mac)]
    examples = ", ".join(map(str, tried or macs[:STRANGERS]))
    words = "nothing answers at those tried" if tried else "some of them"
    seen = f"{claims} claims by {len(macs)} MACs{more}; {words}: {examples}"
    return _other(cluster, Verdict.WRONG, Cause.CROWD, seen)


def _other_servers(reading: Reading, cluster: Cluster) -> dict[Mac, str]:
    """Return the known servers that claim the address and are not servers of this cluster."""
    owners = reading.owners()
    return {
        mac: owners[mac]
        for mac, voices in reading.transcript.voices(cluster.address).items()
        if mac in owners and owners[mac] not in cluster.servers
        if any(owners.get(voiced.claim.said_by) == owners[mac] for voiced in voices)
    }


def _stranger(reading: Reading, cluster: Cluster, mac: Mac, name: str | None) -> Finding:
    voices = reading.transcript.voices(cluster.address)[mac]
    evidence = list(heard(reading, voices))
    cause = Cause.STRANGER
    if reading.echoes(Key(Purpose.STRANGER_PING, "", cluster.address, None, mac)):
        evidence.append("it answers pings to the address")
    elif reading.looked_into(cluster, mac):
        evidence.append("it does not answer pings to the address")
        cause = Cause.STRANGER_PUBLISHES
    if (server := _handed_to(reading, cluster, mac)) is not None:
        evidence.append(f"a connection sent to it was accepted by {server}")
        cause = Cause.DISPATCHER_RUNS
    if reading.subject.live and reading.dispatchers():
        cause = Cause.SEVERAL_DISPATCHERS
    if name is not None:
        evidence.append(f"this is {name}, which is no server of the cluster")
    return Finding(
        Check.OTHERS, name or "", cluster.address, Verdict.WRONG, cause, evidence=tuple(evidence)
    )


def _handed_to(reading: Reading, cluster: Cluster, mac: Mac) -> str | None:
    """Return the server that accepted a connection whose first segment went to `mac`."""
    return next(iter(reading.handed_over(cluster, mac).values()), None)


def _dispatcher(reading: Reading, cluster: Cluster) -> Iterator[Finding]:
    """Yield whether the dispatcher answers, and whether each port leads to a server."""
    chosen = dict(reading.dispatchers())
    mac = chosen.get(cluster)
    address = cluster.address
    voices = [] if mac is None else reading.transcript.voices(address)[mac]
    if mac is None and reading.transcript.crowd[address]:
        seen = "it may be among the claimants that are not told apart"
        yield _about_dispatcher(cluster, Verdict.UNKNOWN, Cause.DISPATCHER_UNPROVED, seen)
    elif mac is None or not any(voiced.answer for voiced in voices):
        seen = _unanswered(reading, cluster, mac)
        yield _about_dispatcher(cluster, Verdict.WRONG, Cause.DISPATCHER_SILENT, seen)
    else:
        proved = any(reading.handed_over(*each) for each in chosen.items())
        proved = proved or mac == reading.subject.dispatcher
        verdict, cause = (
            (Verdict.RIGHT, None) if proved else (Verdict.UNKNOWN, Cause.DISPATCHER_UNPROVED)
        )
        seen = f"{address} is at {describe(mac)}"
        yield _about_dispatcher(cluster, verdict, cause, seen)
    if mac is not None:
        for port in cluster.ports:
            if port.protocol is Protocol.TCP:
                yield _through(reading, cluster, mac, port)


def _unanswered(reading: Reading, cluster: Cluster, mac: Mac | None) -> str:
    """Return what was heard instead of an answer."""
    given = reading.subject.dispatcher
    if mac is not None:
        return f"{describe(mac)} announces {cluster.address}, and answers no question for it"
    if given is not None and (name := reading.owners().get(given)) is not None:
        return f"{describe(given)} is {name}'s MAC, and no dispatcher's"
    return f"asked several times who has {cluster.address}; no dispatcher answered"


def _about_dispatcher(
    cluster: Cluster, verdict: Verdict, cause: Cause | None, seen: str, port: Port | None = None
) -> Finding:
    address = cluster.address
    return Finding(Check.DISPATCHER, "", address, verdict, cause, port, evidence=(seen,))


def _through(reading: Reading, cluster: Cluster, mac: Mac, port: Port) -> Finding:
    """Return what became of a connection through the dispatcher."""
    key = Key(Purpose.STRANGER_PORT, "", cluster.address, port, mac)
    verdict, cause = Verdict.WRONG, Cause.DISPATCHER_LOSES
    if reading.ledger.known(key) is None:
        found = Verdict.UNKNOWN, Cause.NO_FREE_ADDRESS, "nothing was sent"
    elif (opened := reading.opened(key)) is None:
        refused = reading.refused(key)
        found = verdict, cause, f"RST from {refused[0].mac}" if refused else "SYN: no SYN-ACK"
    elif opened[0].mac == mac:
        found = verdict, Cause.DISPATCHER_ACCEPTS, f"SYN-ACK from {mac} itself"
    elif (by := reading.server_behind(cluster, opened[0].mac)) is None:
        name = reading.owners().get(opened[0].mac, "nobody known")
        seen = f"SYN-ACK from {describe(opened[0].mac)}: {name}"
        found = verdict, Cause.DISPATCHER_STRAYS, seen
    else:
        return _about_dispatcher(
            cluster, Verdict.RIGHT, None, f"SYN-ACK from {opened[0].mac}: {by}", port
        )
    return _about_dispatcher(cluster, *found, port)
