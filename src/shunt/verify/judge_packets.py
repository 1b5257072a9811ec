"""Verdicts on what a server does with packets: pings, ports, applications, foreign frames."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shunt.model.config import Protocol
from shunt.network.frames import Arp
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.ledger import Key, Purpose
from shunt.verify.procedure import FAR
from shunt.verify.reading import DOUBTS
from shunt.verify.vendors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address
    from shunt.verify.reading import Reading
    from shunt.verify.subject import Cluster, Examined, Port
    from shunt.verify.transcript import Answer, Outcome

_PORT_UNREACHABLE = (3, 4)  # the code in ICMP, in ICMPv6


def packets(reading: Reading, server: Examined, cluster: Cluster) -> Iterator[Finding]:
    """Yield the findings on pings and ports of one server and cluster address."""
    ping = _ping(reading, server, cluster)
    yield ping
    for port in cluster.ports:
        key = Key(Purpose.PORT, server.name, cluster.address, port)
        found = _port(reading, key, port, ping)
        yield found
        if (number := reading.ledger.known(key)) is None or found.verdict is not Verdict.RIGHT:
            continue
        if (outcome := reading.transcript.outcomes.get(number)) is not None:
            yield _application(server, cluster, port, outcome)
        elif reading.requests_wanted and port.protocol is Protocol.TCP:
            cause = Cause.NO_STACK
            address = cluster.address
            yield Finding(Check.APPLICATION, server.name, address, Verdict.UNKNOWN, cause, port)


def _application(server: Examined, cluster: Cluster, port: Port, outcome: Outcome) -> Finding:
    found: tuple[Verdict, Cause | None, str]
    if outcome.error is not None:
        found = Verdict.WRONG, Cause.APPLICATION_FAILS, outcome.error
    elif outcome.unasked is not None:
        found = Verdict.UNKNOWN, Cause.ADVISOR_UNASKED, outcome.unasked
    else:
        found = Verdict.RIGHT, None, outcome.detail
    verdict, cause, seen = found
    where = server.name, cluster.address
    return Finding(Check.APPLICATION, *where, verdict, cause, port, evidence=(seen,))


def _ping(reading: Reading, server: Examined, cluster: Cluster) -> Finding:
    key = Key(Purpose.PING, server.name, cluster.address)

    def finding(verdict: Verdict, cause: Cause | None, *evidence: str) -> Finding:
        return Finding(Check.PING, server.name, cluster.address, verdict, cause, evidence=evidence)

    mac = reading.mac(server.name)
    if mac is None:
        return finding(Verdict.UNKNOWN, Cause.NO_CONTROL)
    if reading.ledger.known(key) is None:
        return finding(Verdict.UNKNOWN, Cause.NO_FREE_ADDRESS)
    if answers := reading.echoes(key):
        where = _elsewhere(reading, key, answers[0])
        return finding(Verdict.RIGHT, where, _seen("echo reply", answers[0]))
    unanswered = f"echo requests to {cluster.address} at {mac}: no answer"
    keys = [Key(Purpose.PORT, server.name, cluster.address, port) for port in cluster.ports]
    for each in keys:
        if reading.replied(each):
            return finding(
                Verdict.RIGHT, Cause.PING_FILTERED, unanswered, f"port {each.port} answers"
            )
    if (cause := _why_silent(reading, server, cluster)) is None:
        return finding(Verdict.UNKNOWN, Cause.NO_CONTROL, unanswered)
    tcp = any(port.protocol is Protocol.TCP for port in cluster.ports)
    unclear = cause is Cause.DROPS_ALL and not tcp
    verdict = Verdict.UNKNOWN if unclear else Verdict.WRONG
    return finding(verdict, cause, unanswered, *_own_evidence(reading, server, cluster))


def takes_nothing(reading: Reading, server: Examined, cluster: Cluster) -> bool:
    """Whether the server was asked, and answers for its own address but not at the cluster's."""
    ping = Key(Purpose.PING, server.name, cluster.address)
    if reading.ledger.known(ping) is None or reading.spoke(server, cluster):
        return False
    return _why_silent(reading, server, cluster) is Cause.ALIAS_MISSING


def _own_evidence(reading: Reading, server: Examined, cluster: Cluster) -> Iterator[str]:
    own = reading.own(server, cluster.address.version)
    if own is not None:
        answers = reading.echoes(Key(Purpose.OWN_PING, server.name, own))
        yield f"echo requests to {own} there: {'answered' if answers else 'no answer'}"
    for port in cluster.ports:
        if port.protocol is Protocol.TCP:
            yield f"port {port} of {cluster.address} there: no answer"


def _why_silent(reading: Reading, server: Examined, cluster: Cluster) -> Cause | None:
    """Tell apart why nothing answers at the cluster address, by what the own address does.

    None: the server was asked once more who has its own address, and is not there any more.
    """
    own = reading.own(server, cluster.address.version)
    there = reading.controlled(server, cluster.address.version, DOUBTS)
    if own is None:
        return Cause.ALIAS_MISSING if there else None
    keys = [Key(Purpose.OWN_PORT, server.name, own, port) for port in cluster.ports]
    if reading.echoes(Key(Purpose.OWN_PING, server.name, own)) or any(map(reading.replied, keys)):
        return Cause.ALIAS_MISSING
    if not there:
        return None
    if not isinstance(own, IPv4Address):
        return Cause.DROPS_ALL
    askers = {arp.target for arp in reading.transcript.arp_replies if arp.sender == own}
    if reading.identity.asker.get(4) in askers:
        return Cause.DROPS_ALL
    return Cause.WIDE_ALIAS if FAR in askers else Cause.REVERSE_PATH


def _port(reading: Reading, key: Key, port: Port, ping: Finding) -> Finding:
    if reading.ledger.known(key) is None:
        found = ping.verdict, ping.cause, ""
    else:
        found = _reply(reading, key, port) or _no_reply(port, ping)
    verdict, cause, evidence = found
    seen = (evidence,) if evidence else ()
    return Finding(Check.PORT, key.server, key.address, verdict, cause, port, seen)


def _reply(reading: Reading, key: Key, port: Port) -> tuple[Verdict, Cause | None, str] | None:
    """Judge a port by what answered; None if nothing did."""
    if (opened := reading.opened(key)) is not None:
        answer, segment = opened
        mss = "" if segment.mss is None else f", MSS {segment.mss}"
        return Verdict.RIGHT, _elsewhere(reading, key, answer), _seen("SYN-ACK", answer) + mss
    if datagrams := reading.datagrams(key):
        first = datagrams[0]
        return Verdict.RIGHT, _elsewhere(reading, key, first), _seen("datagram", first)
    if (refused := reading.refused(key)) is not None:
        return Verdict.WRONG, _why_refused(reading, key, port), _seen("RST", refused[0])
    if (rejected := reading.rejected(key)) is not None:
        code = f"ICMP destination unreachable, code {rejected[1].code}"
        closed = port.protocol is Protocol.UDP and rejected[1].code in _PORT_UNREACHABLE
        cause = Cause.NOT_LISTENING if closed else Cause.PORT_REJECTED
        return Verdict.WRONG, cause, _seen(code, rejected[0])
    return None


def _no_reply(port: Port, ping: Finding) -> tuple[Verdict, Cause | None, str]:
    if ping.verdict is not Verdict.RIGHT:
        return ping.verdict, ping.cause, "no answer"
    if port.protocol is Protocol.UDP:
        return Verdict.RIGHT, Cause.UDP_SILENT, ""
    return Verdict.WRONG, Cause.PORT_FILTERED, "SYN: no answer"


def _why_refused(reading: Reading, key: Key, port: Port) -> Cause:
    assert key.address is not None
    server = reading.subject.servers[key.server]
    own = reading.own(server, key.address.version)
    if own is not None and reading.opened(Key(Purpose.OWN_PORT, server.name, own, port)):
        return Cause.BOUND_ELSEWHERE
    return Cause.NOT_LISTENING


def foreign(reading: Reading, server: Examined) -> Iterator[Finding]:
    """Yield, by IP version, what the server does with a frame for an address it does not hold."""
    mac = reading.mac(server.name)
    for version in reading.subject.versions:
        to = reading.identity.asker.get(version)
        key = Key(Purpose.FOREIGN, server.name, to)
        number = None if to is None else reading.ledger.known(key)
        if mac is None or number is None:
            cause = Cause.NO_CONTROL if mac is None else _what_is_short(reading, version)
            yield Finding(Check.FOREIGN, server.name, to, Verdict.UNKNOWN, cause)
            continue
        if answers := reading.echoes(key):
            yield Finding(
                Check.FOREIGN,
                server.name,
                to,
                Verdict.WRONG,
                Cause.ANSWERS_FOREIGN,
                evidence=(_seen("echo reply", answers[0]),),
            )
            continue
        signs = tuple(_signs_of_forwarding(reading, server, to, number))
        if not signs and not reading.lived_on(server, version):
            cause = Cause.NO_CONTROL
            yield Finding(Check.FOREIGN, server.name, to, Verdict.UNKNOWN, cause)
            continue
        yield Finding(
            Check.FOREIGN,
            server.name,
            to,
            Verdict.WRONG if signs else Verdict.RIGHT,
            Cause.FORWARDS if signs else None,
            evidence=signs,
        )


def _what_is_short(reading: Reading, version: int) -> Cause:
    some = version in reading.identity.borrowed
    return Cause.ONE_FREE_ADDRESS if some else Cause.NO_FREE_ADDRESS


def _signs_of_forwarding(
    reading: Reading, server: Examined, to: Address | None, number: int
) -> Iterator[str]:
    macs = reading.macs(server)
    for answer, echo in reading.transcript.pings:
        if echo.identifier == number:
            yield _seen(f"our own frame for {to} again", answer)
            break
    for mac, question in reading.transcript.questions:
        own = not isinstance(question, Arp) or question.sender in server.addresses
        if mac in macs and question.target == to and own:
            yield f"{describe(mac)} asked who has {to}, for which it had got a frame"
            break
    for answer, error in reading.transcript.errors.get(number, []):
        yield _seen(f"ICMP {error.name}", answer)
        break


def _elsewhere(reading: Reading, key: Key, answer: Answer) -> Cause | None:
    return Cause.REPLIES_ELSEWHERE if answer.mac != reading.mac(key.server) else None


def _seen(kind: str, answer: Answer) -> str:
    return f"{kind} from {answer.mac}, source {answer.ip.source}, TTL {answer.ip.ttl}"
