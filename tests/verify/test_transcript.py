"""What is kept of what others send: enough to judge, and no more, however much they send."""

from __future__ import annotations

import pickle
from ipaddress import IPv4Address

from shunt.model.addresses import Mac
from shunt.network.frames import arp_reply, arp_request, echo_request, gratuitous_arp
from shunt.network.frames.messages import Envelope, echo_reply
from shunt.verify.findings import Cause, Check
from shunt.verify.judge import judge
from shunt.verify.ledger import Ledger
from shunt.verify.reading import Reading
from shunt.verify.subject import Cluster, Examined, Subject
from shunt.verify.transcript import Transcript

CLUSTER, OWN, ME4 = (IPv4Address(f"192.0.2.{number}") for number in (10, 21, 99))
SERVER, ME = Mac.parse("52:54:00:00:00:21"), Mac.parse("02:00:00:00:00:99")
SUBJECT = Subject({"s": Examined("s", (OWN,))}, (Cluster("web", CLUSTER, ("s",)),))
CLAIMS = 40_000


def _made_up(number: int) -> Mac:
    return Mac(b"\x02" + number.to_bytes(5))


def test_made_up_claimants_are_one_finding_in_bounded_memory() -> None:
    """Nobody is hidden by them: neither a server nor its MAC is told from their number."""
    transcript = Transcript()
    reading = Reading(SUBJECT, Ledger(), transcript)
    transcript.heard(0.0, arp_reply(SERVER, OWN, ME, ME4))
    sizes = []
    for number in range(CLAIMS):
        transcript.heard(0.5, gratuitous_arp(_made_up(number), CLUSTER)[number % 2])
        if number % (CLAIMS // 2) == CLAIMS // 2 - 1:
            kept = transcript.claims, transcript.questions, transcript.speakers
            sizes.append(len(pickle.dumps(kept)))
    assert sizes[1] < sizes[0] * 1.1
    assert len(transcript.claims[CLUSTER]) < 100
    transcript.familiar = frozenset(reading.owners())
    transcript.heard(1.0, arp_reply(SERVER, CLUSTER, ME, ME4))
    found = list(judge(reading))
    (silence,) = (each for each in found if each.check is Check.SILENCE)
    assert silence.cause is Cause.ANSWERS_ARP
    (others,) = (each for each in found if each.check is Check.OTHERS)
    assert others.cause is Cause.CROWD
    assert others.evidence[0].startswith(f"{CLAIMS} claims by 64 MACs or more")


def test_what_is_said_again_and_again_is_counted() -> None:
    transcript = Transcript()
    transcript.relevant = frozenset({CLUSTER})
    for _ in range(1000):
        transcript.heard(1.0, gratuitous_arp(SERVER, CLUSTER)[0])
    (first, *_) = kept = transcript.claims[CLUSTER]
    assert len(kept) < 10
    assert transcript.times(first.claim) == 1000


def test_what_concerns_nobody_is_not_kept() -> None:
    transcript = Transcript()
    transcript.relevant = frozenset({CLUSTER})
    for number in range(2000):
        other = IPv4Address(0x0A000000 + number)
        transcript.heard(1.0, arp_request(_made_up(number), other, IPv4Address(other + 1)))
        stranger = Envelope(_made_up(number), ME, other, ME4)
        transcript.heard(1.0, echo_reply(stranger, number, 0))
        transcript.heard(1.0, echo_request(stranger, number, 0))
    assert not transcript.claims
    assert not transcript.questions
    assert not transcript.echoes
    assert not transcript.pings
    assert len(transcript.speakers) <= 1024


def test_an_answer_is_never_before_its_question() -> None:
    """The kernel's clock stamps what is heard, ours what is sent: they may differ by a little."""
    transcript = Transcript()
    transcript.relevant = frozenset({CLUSTER})
    transcript.sent(100.0, arp_request(ME, CLUSTER))
    transcript.heard(99.9999, arp_reply(SERVER, CLUSTER, ME, ME4))
    (voiced,) = transcript.claims[CLUSTER]
    assert voiced.delay == 0.0
