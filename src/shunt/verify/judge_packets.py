"""Verdicts on what a server does with packets: pings, ports, applications, foreign frames."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shunt.model.config import Accepted, Protocol
from shunt.network.frames import Arp
from shunt.verify import wide
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.ledger import Key, Purpose
from shunt.verify.reading import DOUBTS
from shunt.verify.vendors import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.model.addresses import Address
    from shunt.verify.reading import Reading
    from shunt.verify.subject import Cluster, Examined, Port
    from shunt.verify.transcript import Answer, Outcome

_EXAMPLES = 4
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
    if mac is None or reading.ledger.known(key) is None:
        cause = Cause.NO_CONTROL if mac is None else Cause.NO_FREE_ADDRESS
        return finding(Verdict.UNKNOWN, cause)
    if _answers_acquaintances_only(reading, key):
        return finding(Verdict.WRONG, Cause.CANNOT_ASK, *_of_acquaintances(reading, cluster))
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
    why = _why_silent(reading, server, cluster)
    tcp = any(port.protocol is Protocol.TCP for port in cluster.ports)
    unclear = why is None or (why is Cause.DROPS_ALL and not tcp)
    verdict = Verdict.UNKNOWN if unclear else Verdict.WRONG
    evidence = () if why is None else _own_evidence(reading, server, cluster)
    return finding(verdict, why or Cause.NO_CONTROL, unanswered, *evidence)


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
    if reading.swallowed(server, cluster):
        return Cause.WIDE_ALIAS
    if own is None:
        return Cause.ALIAS_MISSING if there else None
    if _own_answers(reading, server, cluster, own):
        return Cause.ALIAS_MISSING
    return _why_own_is_silent(reading, server, own) if there else None


def _own_answers(reading: Reading, server: Examined, cluster: Cluster, own: Address) -> bool:
    keys = [Key(Purpose.OWN_PORT, server.name, own, port) for port in cluster.ports]
    pinged = reading.echoes(Key(Purpose.OWN_PING, server.name, own))
    return bool(pinged) or any(map(reading.replied, keys))


def _why_own_is_silent(reading: Reading, server: Examined, own: Address) -> Cause:
    """Tell apart why a server that answers ARP or ND answers no packet to its own address."""
    if reading.echoes(Key(Purpose.FROM_BEYOND, server.name, own)):
        return Cause.WIDE_ALIAS  # it lives, and its replies to the segment do not leave it
    if not isinstance(own, IPv4Address):
        return Cause.DROPS_ALL
    askers = {target for sender, target in reading.transcript.arp_replies if sender == own}
    if reading.identity.asker.get(4) in askers:
        return Cause.DROPS_ALL
    far = wide.far_askers(reading.networks)
    return Cause.WIDE_ALIAS if askers.intersection(far) else Cause.REVERSE_PATH


def _port(reading: Reading, key: Key, port: Port, ping: Finding) -> Finding:
    if reading.ledger.known(key) is None:
        found = ping.verdict, ping.cause, ""
    else:
        found = _reply(reading, key, port) or _no_reply(reading, key, port, ping)
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


def _answers_acquaintances_only(reading: Reading, key: Key) -> bool:
    """Whether the server answers who is known to it, and nobody for whom it would have to ask."""
    cold, warm = (
        Key(purpose, key.server, key.address, key.port) for purpose in (Purpose.COLD, Purpose.WARM)
    )
    if reading.ledger.known(cold) is None or _has_swallowed(reading, key):
        return False  # it may have swallowed who asks
    answers = reading.echoes if key.port is None else reading.segments
    return bool(answers(warm)) and not answers(cold)


def _has_swallowed(reading: Reading, key: Key) -> bool:
    server = reading.subject.servers[key.server]
    return any(
        reading.swallowed(server, cluster)
        for cluster in reading.subject.clusters
        if cluster.address == key.address
    )


def _of_acquaintances(reading: Reading, cluster: Cluster) -> tuple[str, str]:
    version = cluster.address.version
    known, unknown = reading.identity.doubts[version], reading.identity.spare[version]
    return (
        f"answers {known}, whom it had got to know by its own address",
        f"no answer to {unknown}, whom it would have to ask for, and no question either",
    )


def _no_reply(
    reading: Reading, key: Key, port: Port, ping: Finding
) -> tuple[Verdict, Cause | None, str]:
    if _answers_acquaintances_only(reading, key):
        seen = "SYN: an answer only to who is known to it"
        return Verdict.WRONG, Cause.CANNOT_ASK, seen
    if reading.opened(replace(key, purpose=Purpose.FROM_BEYOND)):
        seen = "SYN: an answer to a link-local sender, none to one of the segment's network"
        return Verdict.WRONG, Cause.WIDE_ALIAS, seen
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
        if wides := tuple(_wide(reading, server, version)):
            yield from wides
            continue
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
            _of_forwarding(server) if signs else Verdict.RIGHT,
            Cause.FORWARDS if signs else None,
            evidence=signs,
        )


def _of_forwarding(server: Examined) -> Verdict:
    """Judge a server that passes frames on, as `shunt server check` does.

    A dispatcher's guard ends the way of frames that come back to it: the server is not wrong
    before its alias goes missing, and that has a cause of its own.
    """
    entry = server.entry
    accepted = entry is not None and Accepted.FORWARDS in entry.accept
    return Verdict.ACCEPTED if accepted else Verdict.WARNING


def _wide(reading: Reading, server: Examined, version: int) -> Iterator[Finding]:
    """Yield the cluster addresses whose networks the server takes for its own."""
    for cluster in reading.subject.clusters:
        address = cluster.address
        if address.version != version or server.name not in cluster.servers:
            continue
        if not (taken := reading.swallowed(server, cluster)):
            continue
        most = taken if len(taken) <= _EXAMPLES else (*taken[:_EXAMPLES], "...")
        network = wide.network_of(address, taken)
        seen = f"it answers pings to {', '.join(map(str, most))}, as a holder of {network} does"
        where = Check.FOREIGN, server.name, address
        verdict, doubt = Verdict.WRONG, list[str]()
        if server.entry is None and not wide.proven(address, taken):
            verdict = Verdict.UNKNOWN
            doubt.append(f"or {taken[0]} is another cluster's: then name that, too")
        yield Finding(*where, verdict, Cause.WIDE_ALIAS, evidence=(seen, *doubt))


def _what_is_short(reading: Reading, version: int) -> Cause:
    some = version in reading.identity.borrowed
    return Cause.ONE_FREE_ADDRESS if some else Cause.NO_FREE_ADDRESS


def _signs_of_forwarding(
    reading: Reading, server: Examined, to: Address | None, number: int
) -> Iterator[str]:
    macs = reading.macs(server)
    if (back := reading.transcript.pings.get(number)) is not None:
        yield _seen(f"our own frame for {to} again", back)
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
