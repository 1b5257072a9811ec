"""Whatever bytes come, however they are cut: each advisor ends in a verdict, within its limits."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.advisors import registry
from shunt.advisors.advisor import Transport
from shunt.advisors.dialogue import Verdict, WrongAnswerError, advance
from shunt.advisors.pattern import bytes_pattern
from shunt.advisors.protocols.connect import Connect
from shunt.advisors.protocols.dns import Dns
from shunt.advisors.protocols.ping import Ping
from shunt.advisors.protocols.plain import Udp
from shunt.advisors.protocols.sip import Sip
from shunt.advisors.tls import Tls, secured
from tests.advisors.driving import TARGET
from tests.advisors.test_protocols import RIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.advisors.advisor import Advisor
    from shunt.advisors.dialogue import Dialogue

SOME = settings(max_examples=40, deadline=None)
MOST_SAID = 1 << 16
MOST_WORDS = 300

# `@` in what is heard stands for what was said last. Beginnings of answers to them:
ECHOED = (
    (Dns(query="www.example"), b"\x81\x80"),
    (Dns(query="www.example", over="tcp"), b"\x00\x1d"),
    (Ping(), b"\0\0\0\0\0\0\0\1"),
    (Sip(), b"SIP/2.0 200 OK\r\n@"),
    (Udp(send=b"ask", expect=bytes_pattern("^ok")), b"ok"),
)
CASES = [(advisor, speech) for advisor, speech, _ in RIGHT if speech] + list(ECHOED)
TOKENS = {
    Transport.TCP: (b"\r\n", b"\n", b" ", b"\0", b"\xff", b"\x80", b"220-", b"0", b"@"),
    Transport.UDP: (b"\r\n", b"\0", b"\xff", b"@", b"SIP/2.0 "),
    Transport.ICMP: (b"\0", b"\xff", b"@"),
    Transport.PROCESS: (b"\n", b"1.5", b"\xff"),
}


def _name(case: tuple[Advisor, bytes]) -> str:
    return f"{case[0].name}-{CASES.index(case)}"


def drive(dialogue: Dialogue, pieces: Iterator[bytes]) -> Verdict:
    """Return the verdict, which a wrong answer is as well; raise anything else."""
    said = 0
    last = heard = None
    try:
        while not isinstance(step := advance(dialogue, heard), Verdict):
            heard = None
            if step is None:
                heard = next(pieces, b"").replace(b"@", last or b"")
            else:
                last = step
                said += len(step)
                assert said <= MOST_SAID
        verdict = step
    except WrongAnswerError as error:
        verdict = Verdict(up=False, words=str(error))
    assert verdict.words.isprintable()
    assert len(verdict.words) <= MOST_WORDS
    return verdict


def ended(advisor: Advisor, pieces: list[bytes]) -> Verdict:
    """Let an advisor hear; datagrams end when none comes in time, which is the carrier's matter."""

    def until_the_limit() -> Iterator[bytes]:
        yield from pieces
        if advisor.transport in {Transport.UDP, Transport.ICMP}:
            raise WrongAnswerError("time is up")

    return drive(advisor.talk(TARGET), until_the_limit())


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_arbitrary_bytes(case: tuple[Advisor, bytes]) -> None:
    advisor, _ = case
    tokens = st.sampled_from(TOKENS[advisor.transport])
    piece = st.lists(tokens | st.binary(max_size=16), max_size=6).map(b"".join)

    @SOME
    @given(st.lists(piece, max_size=8))
    def each(pieces: list[bytes]) -> None:
        ended(advisor, pieces)

    each()


@pytest.mark.parametrize("case", CASES, ids=_name)
def test_a_true_answer_with_changes(case: tuple[Advisor, bytes]) -> None:
    advisor, speech = case

    @SOME
    @given(st.data())
    def each(data: st.DataObject) -> None:
        changed = speech
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(changed)))
            width = data.draw(st.integers(0, 4))
            with_ = data.draw(st.binary(max_size=4) | st.sampled_from((changed[:at], b"9" * 12)))
            changed = changed[:at] + with_ + changed[at + width :]
        cuts = sorted(data.draw(st.lists(st.integers(0, len(changed)), max_size=4)))
        ends = (*cuts, len(changed))
        pieces = [changed[a:b] for a, b in zip((0, *cuts), ends, strict=True)]
        found = ended(advisor, [piece for piece in pieces if piece])
        if changed == speech and advisor.transport in {Transport.TCP, Transport.PROCESS}:
            assert isinstance(advisor, Dns) or found.up

    each()


def test_every_advisor_is_here() -> None:
    names = {advisor.name for advisor, _ in CASES}
    assert names == set(registry.BUILT_IN) - {Connect.name, "https"}  # https: see TLS below


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6), st.booleans())
def test_no_bytes_break_tls(pieces: list[bytes], record: bool) -> None:
    http = registry.find("http")()
    if record:  # in the shape of one
        body = b"".join(pieces)
        pieces = [b"\x16\x03\x03" + len(body).to_bytes(2, "big") + body]
    assert drive(secured(http.talk(TARGET), Tls(), "192.0.2.10"), iter(pieces)).up is False


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_alert_breaks_tls(data: st.DataObject) -> None:
    """OpenSSL's answer, without a certificate: an alert, some byte of which is another."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    at, value = data.draw(st.integers(0, 400)), data.draw(st.integers(0, 255))
    dialogue = secured(registry.find("http")().talk(TARGET), Tls(), "192.0.2.10")
    hello = advance(dialogue)
    assert isinstance(hello, bytes)
    incoming.write(hello)
    with pytest.raises(ssl.SSLError):
        server.do_handshake()
    answer = bytearray(outgoing.read())
    answer[at % len(answer)] = value
    assert drive(dialogue, iter([bytes(answer)])).up is False
