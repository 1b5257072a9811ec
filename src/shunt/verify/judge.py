"""From what was heard to verdicts: one finding per server and check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.verify import judge_packets, judge_segment
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.reading import AGAIN
from shunt.verify.sayings import heard as _heard
from shunt.verify.vendors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address, Mac
    from shunt.verify.reading import Reading
    from shunt.verify.subject import Cluster, Examined
    from shunt.verify.transcript import Voiced

_MACS = 4  # that are told of one address
_LATE = 0.03  # seconds; an owner answers within milliseconds, a proxy waits at random up to 0.8 s


def judge(reading: Reading) -> tuple[Finding, ...]:
    """Return the findings in the procedure's order: servers first, then the segment."""
    return tuple(_findings(reading))


def _findings(reading: Reading) -> Iterator[Finding]:
    for server in reading.subject.servers.values():
        for address in server.addresses:
            yield _own_address(reading, server, address)
        for cluster in reading.subject.clusters:
            if server.name in cluster.servers:
                yield _silence(reading, server, cluster, Check.SILENCE)
                yield from judge_packets.packets(reading, server, cluster)
                yield _leaks(reading, server, cluster)
                yield _silence(reading, server, cluster, Check.AGAIN)
        yield from judge_packets.foreign(reading, server)
    for cluster in reading.subject.clusters:
        yield from judge_segment.segment(reading, cluster)


def _own_address(reading: Reading, server: Examined, address: Address) -> Finding:
    macs = reading.transcript.voices(address)
    evidence = [f"{address} is at {describe(mac)}" for mac in macs][:_MACS]
    if (more := reading.transcript.crowd[address]) or len(macs) > _MACS:
        evidence.append(f"and at {len(macs) - _MACS} MACs more; {more} claims are not told apart")
    cause: Cause | None = None
    if not reading.answers_for(address):
        cause = Cause.OWN_SILENT
        evidence.append(f"asked several times who has {address}; nobody answered")
    elif not reading.answers_for(address, AGAIN):
        cause = Cause.OWN_SILENT
        evidence.append(f"asked at the end who has {address}; nobody answered any more")
    for other in reading.subject.servers.values():
        if other.name != server.name and macs.keys() & reading.macs(other).keys():
            cause = Cause.SAME_MAC
            evidence.append(f"so is {other.name} ({other.addresses[0]})")
    if cause is None and len(macs) > 1:
        cause = Cause.TWO_MACS
    verdict = Verdict.WRONG if cause else Verdict.RIGHT
    speakers = _other_speakers(reading, server, address)
    if speakers:
        cause = cause or Cause.SPEAKS_FOR_ANOTHER
        evidence.append(f"{' and '.join(map(describe, speakers))} says so, too, in its place")
    return Finding(Check.OWN, server.name, address, verdict, cause, evidence=tuple(evidence))


def _other_speakers(reading: Reading, server: Examined, address: Address) -> list[Mac]:
    """Return who says where the server is and is not the server."""
    owners = reading.owners()
    said = (voiced.claim for voiced in reading.transcript.claims.get(address, ()))
    others = dict.fromkeys(each.said_by for each in said if owners.get(each.mac) == server.name)
    return [mac for mac in others if owners.get(mac) != server.name][:_MACS]


def _silence(reading: Reading, server: Examined, cluster: Cluster, check: Check) -> Finding:
    for mac, voices in reading.said_by(server, cluster).items():
        then = [
            voiced
            for voiced in voices
            if voiced.answer and (voiced.phase == AGAIN) == (check is Check.AGAIN)
        ]
        if then:
            return Finding(
                check,
                server.name,
                cluster.address,
                Verdict.WRONG,
                _why_it_answers(reading, server, cluster, mac, voices),
                evidence=_heard(reading, then),
            )
    version = cluster.address.version
    there = reading.controlled(server, version) and (
        reading.controlled(server, version, AGAIN)
        if check is Check.AGAIN
        else reading.lived_on(server, version)
    )
    if not there:
        return Finding(check, server.name, cluster.address, Verdict.UNKNOWN, Cause.NO_CONTROL)
    return Finding(check, server.name, cluster.address, Verdict.RIGHT)


def _why_it_answers(
    reading: Reading, server: Examined, cluster: Cluster, mac: Mac, voices: list[Voiced]
) -> Cause:
    if reading.owners().get(mac) != server.name:
        return Cause.PUBLISHED  # it speaks of somebody else's MAC
    late = sum((voiced.delay or 0.0) > _LATE for voiced in voices)
    mostly_late = late * 2 >= len(voices)  # a few late answers are a busy machine's
    if mostly_late or judge_packets.takes_nothing(reading, server, cluster):
        return Cause.PUBLISHED
    owners = reading.owners()
    if mac != reading.mac(server.name) or list(owners.values()).count(server.name) > 1:
        return Cause.ANSWERS_OTHER_NIC
    return Cause.ANSWERS_ARP if cluster.address.version == 4 else Cause.ANSWERS_ND


def _leaks(reading: Reading, server: Examined, cluster: Cluster) -> Finding:
    def finding(verdict: Verdict, cause: Cause | None, *evidence: str) -> Finding:
        return Finding(Check.LEAKS, server.name, cluster.address, verdict, cause, evidence=evidence)

    for voices in reading.said_by(server, cluster).values():
        unasked = [voiced for voiced in voices if not voiced.answer]
        if unasked:
            asks = unasked[0].claim.how.asks
            cause = Cause.ASKS_IN_ITS_NAME if asks else Cause.ANNOUNCES
            return finding(Verdict.WRONG, cause, *_heard(reading, unasked))
    if reading.mac(server.name) is None:
        return finding(Verdict.UNKNOWN, Cause.NO_CONTROL)
    if cluster.address.version not in reading.identity.borrowed:
        return finding(Verdict.UNKNOWN, Cause.NO_FREE_ADDRESS)
    asked = reading.asked(server, cluster.address.version)
    if asked is None or not reading.spoke(server, cluster):
        return finding(Verdict.UNKNOWN, Cause.DID_NOT_ASK)
    mac, whom = asked
    seen = f"{describe(mac)} asked who has {whom}, in its own name"
    return finding(Verdict.RIGHT, None, seen)
