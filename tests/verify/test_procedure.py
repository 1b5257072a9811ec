"""The procedure against a simulated segment: verdicts, cost, and hostile company."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import UsageError
from shunt.model.addresses import Address, Mac
from shunt.model.config import Accepted, Protocol, Server
from shunt.network.frames import (
    Envelope,
    Frame,
    Segment,
    arp_request,
    echo_reply,
    gratuitous_arp,
    tcp_syn,
    unsolicited_advertisement,
)
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.judge import judge
from shunt.verify.procedure import Procedure
from shunt.verify.subject import Cluster, Examined, Port, Subject
from tests.verify.simulated import Machine, run

if TYPE_CHECKING:
    from collections.abc import Callable

ME = Mac.parse("02:00:00:00:00:99")
SPARE = {
    4: tuple(map(ip_address, ("192.0.2.201", "192.0.2.202"))),
    6: tuple(map(ip_address, ("2001:db8::201", "2001:db8::202"))),
}


def _mac(number: int) -> Mac:
    return Mac(bytes((0x52, 0x54, 0, 0, number >> 8, number & 255)))


def _segment(count: int, addresses: list[str]) -> tuple[Subject, list[Machine]]:
    """Return right servers, and their subject: each serves port 80 of every cluster address."""
    machines, servers = [], {}
    clusters: list[Address] = [ip_address(each) for each in addresses]
    for number in range(1, count + 1):
        own = {ip_address(f"192.0.2.{number}"), ip_address(f"2001:db8::{number}")}
        machines.append(Machine(_mac(number), own, own | set(clusters), {80}))
        name = f"s{number}"
        servers[name] = Examined(name, tuple(sorted(own, key=lambda a: a.version)))
    examined = tuple(Cluster("web", each, tuple(servers), (Port(80),)) for each in clusters)
    return Subject(servers, examined), machines


def _procedure(subject: Subject) -> Procedure:
    return Procedure(subject, ME, {version: SPARE[version] for version in subject.versions})


def _troubles(procedure: Procedure) -> dict[tuple[Check, str], tuple[Verdict, Cause | None]]:
    return {
        (finding.check, finding.server): (finding.verdict, finding.cause)
        for finding in judge(procedure.reading)
        if finding.verdict is not Verdict.RIGHT
    }


def _finding(procedure: Procedure, check: Check, server: str) -> Finding:
    found = judge(procedure.reading)
    return next(each for each in found if each.check is check and each.server == server)


def test_right_servers_are_right() -> None:
    subject, machines = _segment(3, ["192.0.2.100", "2001:db8::100"])
    procedure = _procedure(subject)
    run(procedure, machines)
    assert _troubles(procedure) == {}


def test_a_hundred_servers_and_two_addresses_take_less_than_ten_seconds() -> None:
    subject, machines = _segment(100, ["192.0.2.150", "192.0.2.151"])
    subject = Subject(
        {name: Examined(name, each.addresses[:1]) for name, each in subject.servers.items()},
        subject.clusters,
    )
    procedure = _procedure(subject)
    cost = run(procedure, machines, rate=200)
    assert _troubles(procedure) == {}
    assert cost.seconds < 10


def test_nothing_is_sent_from_an_address_that_somebody_has() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    taken = set(SPARE[4][:1])
    machines.append(Machine(_mac(700), taken, taken))
    procedure = _procedure(subject)
    run(procedure, machines)
    assert procedure.identity.borrowed == {4: SPARE[4][1]}
    assert _troubles(procedure) == {
        (Check.FOREIGN, "s1"): (Verdict.UNKNOWN, Cause.ONE_FREE_ADDRESS)
    }


def test_without_a_free_address_packets_are_not_judged() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    taken = set(SPARE[4])
    machines.append(Machine(_mac(700), taken, taken))
    procedure = _procedure(subject)
    run(procedure, machines)
    checks = (Check.PING, Check.PORT, Check.LEAKS, Check.FOREIGN)
    told = Verdict.UNKNOWN, Cause.NO_FREE_ADDRESS
    assert _troubles(procedure) == {(check, "s1"): told for check in checks}
    assert _finding(procedure, Check.SILENCE, "s1").verdict is Verdict.RIGHT


def test_a_server_that_asks_in_the_clusters_name_leaks() -> None:
    subject, machines = _segment(2, ["192.0.2.100"])
    machines[1].announces = True
    procedure = _procedure(subject)
    run(procedure, machines)
    assert _troubles(procedure) == {(Check.LEAKS, "s2"): (Verdict.WRONG, Cause.ASKS_IN_ITS_NAME)}


def test_a_server_that_announces_the_cluster_address_leaks() -> None:
    subject, machines = _segment(2, ["192.0.2.100"])
    (address,) = _addresses(subject)
    assert isinstance(address, IPv4Address)
    procedure, frames = _procedure(subject), iter(gratuitous_arp(machines[1].mac, address))
    run(procedure, machines, noise=lambda: next(frames, None))
    assert _troubles(procedure) == {(Check.LEAKS, "s2"): (Verdict.WRONG, Cause.ANNOUNCES)}


def test_a_question_in_one_clusters_name_says_nothing_of_another() -> None:
    subject, machines = _segment(1, ["192.0.2.100", "192.0.2.101"])
    machines[0].announces = True
    procedure = _procedure(subject)
    run(procedure, machines)
    found = [each for each in judge(procedure.reading) if each.check is Check.LEAKS]
    assert [each.cause for each in found] == [Cause.ASKS_IN_ITS_NAME, Cause.DID_NOT_ASK]


def test_two_servers_with_one_mac_are_named() -> None:
    subject, machines = _segment(2, ["192.0.2.100"])
    machines[1].mac = machines[0].mac
    procedure = _procedure(subject)
    run(procedure, machines)
    found = _troubles(procedure)
    assert found[Check.OWN, "s1"] == found[Check.OWN, "s2"] == (Verdict.WRONG, Cause.SAME_MAC)
    assert any("s2" in line for line in _finding(procedure, Check.OWN, "s1").evidence)


def _dispatcher(number: int, servers: list[Machine], *addresses: Address) -> Machine:
    held = set(addresses)
    return Machine(_mac(number), held, held, {80}, hands_to=servers)


def _live(subject: Subject, mac: Mac | None = None) -> Procedure:
    return _procedure(Subject(subject.servers, subject.clusters, live=True, dispatcher=mac))


def _addresses(subject: Subject) -> list[Address]:
    return [cluster.address for cluster in subject.clusters]


def test_with_live_the_dispatcher_is_found_excepted_and_tried() -> None:
    subject, machines = _segment(2, ["192.0.2.100", "192.0.2.101"])
    dispatcher = _dispatcher(900, machines, *_addresses(subject))
    procedure = _live(subject)
    run(procedure, [*machines, dispatcher])
    assert _troubles(procedure) == {}
    found = _finding(procedure, Check.DISPATCHER, "")
    assert str(dispatcher.mac) in found.evidence[0]
    rows = [each for each in judge(procedure.reading) if each.check is Check.DISPATCHER]
    assert len(rows) == 4
    assert all(row.evidence[0].endswith((": s1", ": s2")) for row in rows if row.port)


@pytest.mark.parametrize("given", [True, False])
def test_with_live_a_silent_dispatcher_and_a_second_one_are_wrong(given: bool) -> None:
    subject, machines = _segment(1, ["192.0.2.100", "192.0.2.101"])
    first, second = _addresses(subject)
    dispatcher = _dispatcher(900, machines, first)
    other = Machine(_mac(901), {first}, {first})
    procedure = _live(subject, dispatcher.mac if given else None)
    run(procedure, [other, *machines, dispatcher])  # the other one is the first to answer
    causes = {(each.address, each.cause) for each in judge(procedure.reading) if each.cause}
    assert causes == {(first, Cause.SEVERAL_DISPATCHERS), (second, Cause.DISPATCHER_SILENT)}
    assert str(dispatcher.mac) in _finding(procedure, Check.DISPATCHER, "").evidence[0]


@pytest.mark.parametrize("given", [True, False])
def test_with_live_a_machine_that_serves_by_itself_is_no_dispatcher(given: bool) -> None:
    subject, machines = _segment(2, ["192.0.2.100"])
    held = set(_addresses(subject))
    rogue = Machine(_mac(900), held, held, {80})
    procedure = _live(subject, rogue.mac if given else None)
    run(procedure, [*machines, rogue])
    found = [each for each in judge(procedure.reading) if each.check is Check.DISPATCHER]
    assert [each.cause for each in found] == [
        None if given else Cause.DISPATCHER_UNPROVED,
        Cause.DISPATCHER_ACCEPTS,
    ]
    assert found[1].verdict is Verdict.WRONG


def test_with_live_a_servers_other_card_is_no_dispatcher() -> None:
    """Its MAC is unknown, and connections through it are accepted by a server: by itself."""
    subject, machines = _segment(2, ["192.0.2.100"])
    server, cluster = machines[0], subject.clusters[0].address
    server.second = _mac(800)
    card = Machine(server.second, {cluster}, set())
    procedure = _live(subject)
    run(procedure, [*machines, card])
    found = _troubles(procedure)
    assert found[Check.SILENCE, "s1"] == (Verdict.WRONG, Cause.ANSWERS_OTHER_NIC)
    assert found[Check.DISPATCHER, ""] == (Verdict.WRONG, Cause.DISPATCHER_SILENT)


def test_with_live_a_server_that_drops_pings_and_has_another_card_is_no_dispatcher() -> None:
    subject, machines = _segment(2, ["192.0.2.100"])
    server, cluster = machines[0], subject.clusters[0].address
    server.second = _mac(800)
    server.pings = False
    card = Machine(server.second, {cluster}, set())
    procedure = _live(subject)
    run(procedure, [*machines, card])
    assert _troubles(procedure)[Check.SILENCE, "s1"][0] is Verdict.WRONG


def test_with_live_connections_that_a_stranger_accepts_are_wrong() -> None:
    subject, machines = _segment(2, ["192.0.2.100"])
    held = set(_addresses(subject))
    elsewhere = Machine(_mac(950), {ip_address("192.0.2.77")}, held, {80})
    dispatcher = _dispatcher(900, [elsewhere], *held)
    procedure = _live(subject)
    run(procedure, [*machines, elsewhere, dispatcher])
    causes = {each.cause for each in judge(procedure.reading) if each.verdict is Verdict.WRONG}
    assert causes == {Cause.DISPATCHER_STRAYS}


def test_with_live_who_only_announces_does_not_answer() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    (address,) = _addresses(subject)
    assert isinstance(address, IPv4Address)
    dispatcher = Machine(_mac(900), set(), {address}, hands_to=machines)
    announced = gratuitous_arp(dispatcher.mac, address)[0]
    procedure = _live(subject, dispatcher.mac)
    run(procedure, [*machines, dispatcher], noise=lambda: announced)
    found = _finding(procedure, Check.DISPATCHER, "")
    assert (found.verdict, found.cause) == (Verdict.WRONG, Cause.DISPATCHER_SILENT)
    assert "announces" in found.evidence[0]


def test_with_live_one_lost_segment_is_no_lost_connection() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    dispatcher = _dispatcher(900, machines, *_addresses(subject))
    procedure = _live(subject)
    once = iter([True])

    def lost(frame: Frame) -> bool:
        knocks = isinstance(frame.message, Segment) and frame.link.destination == dispatcher.mac
        return knocks and next(once, False)

    run(procedure, [*machines, dispatcher], lost=lost)
    assert next(once, None) is None, "one was lost"
    assert _troubles(procedure) == {}


def test_with_live_and_no_port_to_try_nothing_proves_a_dispatcher() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    clusters = tuple(Cluster("web", each.address, each.servers) for each in subject.clusters)
    dispatcher = _dispatcher(900, machines, *_addresses(subject))
    procedure = _live(Subject(subject.servers, clusters))
    run(procedure, [*machines, dispatcher])
    assert _troubles(procedure) == {
        (Check.DISPATCHER, ""): (Verdict.UNKNOWN, Cause.DISPATCHER_UNPROVED)
    }


def test_a_servers_own_mac_is_refused_as_the_dispatchers() -> None:
    subject, machines = _segment(2, ["192.0.2.100"])
    machines[1].speaks_for |= set(_addresses(subject))
    procedure = _live(subject, machines[1].mac)
    with pytest.raises(UsageError, match="the MAC of server s2"):
        run(procedure, machines)


def _dying(procedure: Procedure, machine: Machine, phase: str) -> Callable[[Frame], bool]:
    def lost(_: Frame) -> bool:
        machine.dead = machine.dead or procedure.reading.transcript.phase == phase
        return False

    return lost


@pytest.mark.parametrize("phase", ["silence", "answers", "silence again"])
def test_a_server_that_dies_meanwhile_is_called_dead_and_nothing_else(phase: str) -> None:
    subject, machines = _segment(2, ["192.0.2.100", "2001:db8::100"])
    procedure = _procedure(subject)
    run(procedure, machines, lost=_dying(procedure, machines[1], phase))
    found = _troubles(procedure)
    assert {name for _, name in found} == {"s2"}
    wrong = {(each, cause) for (each, _), (verdict, cause) in found.items() if verdict == "wrong"}
    assert wrong == {(Check.OWN, Cause.OWN_SILENT)}
    gone = Verdict.UNKNOWN, Cause.NO_CONTROL
    assert found[Check.AGAIN, "s2"] == gone
    if phase != "silence again":
        for check in (Check.SILENCE, Check.PING, Check.PORT, Check.FOREIGN):
            assert found[check, "s2"] == gone


def test_a_claim_that_cannot_be_read_is_no_silence() -> None:
    subject, machines = _segment(1, ["192.0.2.100", "2001:db8::100"])
    four, six = _addresses(subject)
    assert isinstance(four, IPv4Address)
    assert isinstance(six, IPv6Address)
    odd = gratuitous_arp(_mac(66), four)[0][:14] + b"\0\x07"  # of an unknown hardware type
    cut = [odd + gratuitous_arp(_mac(66), four)[0][16:], unsolicited_advertisement(_mac(66), six)]
    cut[1] = cut[1][:-8]
    procedure, frames = _procedure(subject), iter(cut)
    run(procedure, machines, noise=lambda: next(frames, None))
    found = [each for each in judge(procedure.reading) if each.verdict is not Verdict.RIGHT]
    assert {(each.address, each.verdict, each.cause) for each in found} == {
        (address, Verdict.UNKNOWN, Cause.UNREADABLE) for address in (four, six)
    }


def test_requests_that_were_wanted_and_not_made_are_missed() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    procedure = Procedure(subject, ME, {4: SPARE[4]}, connects=False)
    run(procedure, machines)
    assert _troubles(procedure) == {(Check.APPLICATION, "s1"): (Verdict.UNKNOWN, Cause.NO_STACK)}


def test_a_udp_port_that_says_nothing_is_not_called_wrong() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    port = Port(53, Protocol.UDP)
    clusters = tuple(
        Cluster("dns", each.address, each.servers, (port,)) for each in subject.clusters
    )
    procedure = _procedure(Subject(subject.servers, clusters))
    run(procedure, machines)
    assert _troubles(procedure) == {}
    assert _finding(procedure, Check.PORT, "s1").cause is Cause.UDP_SILENT


def test_what_answers_late_is_published() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    machines[0].publishes = {subject.clusters[0].address}
    machines[0].late = 0.2
    procedure = _procedure(subject)
    run(procedure, machines)
    published = Verdict.WRONG, Cause.PUBLISHED
    assert _troubles(procedure) == {
        (Check.SILENCE, "s1"): published,
        (Check.AGAIN, "s1"): published,
    }


def test_who_starts_to_answer_in_the_end_is_caught() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    procedure = _procedure(subject)

    def lost(_: Frame) -> bool:
        if procedure.reading.transcript.phase == "silence again":
            machines[0].speaks_for.add(subject.clusters[0].address)
        return False

    run(procedure, machines, lost=lost)
    assert _troubles(procedure) == {(Check.AGAIN, "s1"): (Verdict.WRONG, Cause.ANSWERS_ARP)}


def test_a_server_that_takes_every_address_answers_foreign_frames() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    machines[0].holds |= set(SPARE[4])
    procedure = _procedure(subject)
    run(procedure, machines)
    assert _troubles(procedure) == {(Check.FOREIGN, "s1"): (Verdict.WRONG, Cause.ANSWERS_FOREIGN)}


@pytest.mark.parametrize("seed", range(5))
def test_a_lossy_segment_changes_no_verdict(seed: int) -> None:
    """Every frame is asked again if its answer matters; one in ten is lost."""
    chance = random.Random(seed)
    subject, machines = _segment(3, ["192.0.2.100"])
    procedure = _procedure(subject)
    dropped: list[Frame] = []

    def lost(frame: Frame) -> bool:
        if chance.random() > 0.1 or frame in dropped:
            return False
        dropped.append(frame)
        return True

    run(procedure, machines, lost=lost)
    assert dropped
    assert {key for key in _troubles(procedure) if key[0] is not Check.LEAKS} == set()


def test_answers_from_elsewhere_count_for_nothing() -> None:
    """A ping's number alone proves nothing: the answer must come from the address."""
    subject, machines = _segment(1, ["192.0.2.100"])
    machines[0].holds.discard(subject.clusters[0].address)
    procedure = _procedure(subject)
    liar = Envelope(_mac(4000), ME, ip_address("203.0.113.5"), SPARE[4][0])
    run(procedure, machines, noise=lambda: echo_reply(liar, 20000, 0))
    found = _troubles(procedure)
    assert found[Check.PING, "s1"] == (Verdict.WRONG, Cause.ALIAS_MISSING)


def test_a_confirmation_is_no_question() -> None:
    """A unicast question comes from a table that knows the answer; it shows nothing."""
    subject, machines = _segment(1, ["192.0.2.100"])
    machines[0].knows = set(SPARE[4])
    procedure = _procedure(subject)
    probe = arp_request(
        machines[0].mac, IPv4Address("192.0.2.201"), IPv4Address("192.0.2.1"), destination=ME
    )
    run(procedure, machines, noise=lambda: probe)
    assert _troubles(procedure) == {(Check.LEAKS, "s1"): (Verdict.UNKNOWN, Cause.DID_NOT_ASK)}


def test_who_knows_one_address_is_asked_from_another() -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    machines[0].knows = set(SPARE[4])
    third = ip_address("192.0.2.203")
    procedure = Procedure(subject, ME, {4: (*SPARE[4], third)})
    run(procedure, machines)
    assert _troubles(procedure) == {}
    assert str(third) in _finding(procedure, Check.LEAKS, "s1").evidence[0]


def test_hostile_company_changes_no_verdict() -> None:
    """Frames that are broken, or speak of other things, with every frame that is heard."""
    chance = random.Random(1969)
    subject, machines = _segment(20, ["192.0.2.100", "2001:db8::100"])
    procedure = _procedure(subject)
    stranger, four = _mac(4000), ip_address("203.0.113.5")
    seeds = [
        arp_request(stranger, IPv4Address("203.0.113.7"), IPv4Address("203.0.113.6")),
        echo_reply(Envelope(stranger, ME, four, SPARE[4][0]), 20000, 0),
        tcp_syn(Envelope(stranger, ME, four, SPARE[4][0]), (80, 20001), 1),
    ]

    def noise() -> bytes:
        frame = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(4)):
            frame[chance.randrange(12, 22)] = chance.randrange(256)
        del frame[chance.randrange(len(frame)) if chance.randrange(3) == 0 else len(frame) :]
        return bytes(frame)

    run(procedure, machines, noise=noise)
    assert procedure.reading.transcript.malformed > 10
    assert _troubles(procedure) == {}


@pytest.mark.parametrize(
    ("accept", "verdict"), [((), Verdict.WARNING), ((Accepted.FORWARDS,), Verdict.ACCEPTED)]
)
def test_who_forwards_is_warned_of_or_accepted(
    accept: tuple[Accepted, ...], verdict: Verdict
) -> None:
    """The same as `shunt server check` says; never hidden, and no reason to leave with 1."""
    subject, machines = _segment(1, ["192.0.2.100"])
    server = subject.servers["s1"]
    entry = Server("s1", server.addresses, accept=accept)
    subject = replace(subject, servers={"s1": replace(server, entry=entry)})
    own, asked = IPv4Address("192.0.2.1"), SPARE[4][1]
    assert isinstance(asked, IPv4Address)
    procedure = _procedure(subject)
    run(procedure, machines, noise=lambda: arp_request(machines[0].mac, asked, own))
    assert _troubles(procedure) == {(Check.FOREIGN, "s1"): (verdict, Cause.FORWARDS)}


@pytest.mark.parametrize("listen", [4.5, 1.0])
def test_late_answers_are_waited_for_from_the_first_question(listen: float) -> None:
    subject, machines = _segment(1, ["192.0.2.100"])
    procedure = Procedure(subject, ME, {4: SPARE[4]}, listen=listen)
    cost = run(procedure, machines)
    events = procedure.reading.transcript.events
    first = next(event.at for event in events if event.phase == "silence")
    assert 1000.0 + cost.seconds - first >= listen
    assert cost.seconds < listen + 2.5
