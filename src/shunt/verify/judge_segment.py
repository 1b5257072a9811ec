"""Verdicts on everybody else: strangers that answer, and the dispatcher where one runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import Protocol
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.ledger import Key, Purpose
from shunt.verify.vendors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Mac
    from shunt.verify.reading import Reading
    from shunt.verify.subject import Cluster


def segment(reading: Reading, cluster: Cluster) -> Iterator[Finding]:
    """Yield the findings on all machines but the cluster's servers."""
    strangers = [mac for each, mac in reading.strangers() if each == cluster]
    others = _other_servers(reading, cluster)
    for mac in (*strangers, *others):
        yield _stranger(reading, cluster, mac, others.get(mac))
    if not strangers and not others:
        yield Finding(Check.OTHERS, "", cluster.address, Verdict.RIGHT)
    if reading.subject.live:
        yield from _dispatcher(reading, cluster)


def _other_servers(reading: Reading, cluster: Cluster) -> dict[Mac, str]:
    """Return the known servers that claim the address and are not servers of this cluster."""
    owners = reading.owners()
    return {
        mac: owners[mac]
        for mac in reading.transcript.voices(cluster.address)
        if mac in owners and owners[mac] not in cluster.servers
    }


def _stranger(reading: Reading, cluster: Cluster, mac: Mac, name: str | None) -> Finding:
    voices = reading.transcript.voices(cluster.address)[mac]
    evidence = [f"{voices[0].claim.how}: {cluster.address} is at {describe(mac)}"]
    cause = Cause.STRANGER
    if reading.echoes(Key(Purpose.STRANGER_PING, "", cluster.address, None, mac)):
        evidence.append("it answers pings to the address")
    elif reading.identity.borrowed.get(cluster.address.version):
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
    owners = reading.owners()
    for port in cluster.ports:
        opened = reading.opened(Key(Purpose.STRANGER_PORT, "", cluster.address, port, mac))
        if opened is not None and opened[0].mac in owners and opened[0].mac != mac:
            return owners[opened[0].mac]
    return None


def _dispatcher(reading: Reading, cluster: Cluster) -> Iterator[Finding]:
    mac = dict(reading.dispatchers()).get(cluster)
    if mac is None:
        yield Finding(Check.DISPATCHER, "", cluster.address, Verdict.WRONG, Cause.DISPATCHER_SILENT)
        return
    yield Finding(
        Check.DISPATCHER,
        "",
        cluster.address,
        Verdict.RIGHT,
        evidence=(f"{cluster.address} is at {describe(mac)}",),
    )
    for port in cluster.ports:
        key = Key(Purpose.STRANGER_PORT, "", cluster.address, port, mac)
        if port.protocol is not Protocol.TCP or reading.ledger.known(key) is None:
            continue
        opened = reading.opened(key)
        if opened is None:
            verdict, cause, seen = Verdict.WRONG, Cause.DISPATCHER_LOSES, "SYN: no SYN-ACK"
        else:
            verdict, cause = Verdict.RIGHT, None
            by = reading.owners().get(opened[0].mac, "nobody known")
            seen = f"SYN-ACK from {opened[0].mac}: {by}"
        yield Finding(Check.DISPATCHER, "", cluster.address, verdict, cause, port, evidence=(seen,))
