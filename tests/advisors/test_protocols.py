"""Each protocol against right, wrong, cut, early-ended and huge answers, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.advisors.agent import Agent
from shunt.advisors.ber import ENUMERATED, OCTETS, SEQUENCE, encoded, integer, piece
from shunt.advisors.dialogue import Reader, up
from shunt.advisors.pattern import bytes_pattern, pattern
from shunt.advisors.prometheus import Prometheus
from shunt.advisors.protocols import http2
from shunt.advisors.protocols.connect import Connect
from shunt.advisors.protocols.dns import Dns
from shunt.advisors.protocols.exec import Exec
from shunt.advisors.protocols.ftp import Ftp
from shunt.advisors.protocols.grpc import Grpc
from shunt.advisors.protocols.http import Http
from shunt.advisors.protocols.imap import Imap
from shunt.advisors.protocols.ldap import Ldap
from shunt.advisors.protocols.mysql import Mysql
from shunt.advisors.protocols.nntp import Nntp
from shunt.advisors.protocols.plain import Tcp
from shunt.advisors.protocols.pop3 import Pop3
from shunt.advisors.protocols.postgres import Postgres
from shunt.advisors.protocols.redis import Redis
from shunt.advisors.protocols.sip import Sip
from shunt.advisors.protocols.smtp import Smtp
from shunt.advisors.protocols.ssl import Ssl
from shunt.advisors.protocols.telnet import Negotiation, Telnet
from tests.advisors.driving import TARGET, answer, bytewise, finish, talk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.advisors.advisor import Advisor
    from shunt.advisors.dialogue import Dialogue, Judging


class Looks:
    """Counts the bytes that are looked at."""

    text = "never"
    total = 0  # bytes

    def looked_for(self, data: bytes) -> Judging:
        self.total += len(data)
        yield from ()
        return False


def _mysql(number: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "little") + bytes((number,)) + content


def _ldap(tag: int, code: int, number: int = 1) -> bytes:
    result = integer(code, ENUMERATED) + encoded(OCTETS) + encoded(OCTETS)
    return encoded(SEQUENCE, integer(number), encoded(tag, result))


def _grpc(status: int) -> bytes:
    body = b"\0\0\0\0\2\x08" + bytes((status,))
    return (
        http2.frame(http2.SETTINGS)
        + http2.frame(http2.PING, 0, 0, bytes(8))
        + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, b"\x88")
        + http2.frame(http2.DATA, 0, 1, body)
        + http2.frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, 1, b"")
    )


def _postgres_error(state: str) -> bytes:
    body = f"SFATAL\0C{state}\0Mno\0\0".encode()
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body


MYSQL = b"\x0a11.4.2-MariaDB\0" + bytes(40)  # without the protocol of 4.1
MYSQL_41 = b"\x0a8.0.40\0" + bytes(13) + b"\xff\xff" + bytes(30)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nheal\r\n3\r\nthy\r\n0\r\n\r\n"
)
METRICS = (
    b"HTTP/1.0 200 OK\r\n\r\n# TYPE node_load1 gauge\nnode_load1 1\n"
    b'node_cpu_seconds_total{mode="idle",cpu="0"} 9\n'
    b'node_cpu_seconds_total{cpu="1",mode="idle"} 9\n'
)
LDAP = _ldap(0x61, 0) + encoded(SEQUENCE, integer(2), encoded(0x64)) + _ldap(0x65, 0)
# A piece of a telnet stream, the words in it, the refusal it asks for.
TELNET = (
    (b"a", b"a", b""),
    (b"\xff\xff", b"\xff", b""),
    (b"\xff\xfd\x18", b"", b"\xff\xfc\x18"),
    (b"\xff\xfb\xff", b"", b"\xff\xfe\xff"),
    (b"\xff\xf9", b"", b""),
    (b"\xff\xfa\x18a\xff\xfb\x01\xff\xf0", b"", b""),
    (b"\xff\xfc\x05", b"", b""),
)
LOGIN = b"\xff\xfb\x01\xff\xfa\x18\x01\xff\xf0host login: "

# Advisor, the server's whole speech, words of the verdict.
RIGHT: list[tuple[Advisor, bytes, str]] = [
    (Connect(), b"", "accepts"),
    (Http(), b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
    (Http(), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 301\r\nLocation: /\r\n\r\n", "301"),
    (Http(request="GET /", body=pattern("healthy")), CHUNKED, "the body has"),
    (Http(request="GET /", body=pattern("^ok$")),
     b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "the body has"),
    (Http(request="GET /", body=pattern("end$")), b"HTTP/1.0 200 OK\r\n\r\nthe end", "the body"),
    (Ssl(), b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03" + bytes(33) + b"\0\x2f\0", "TLSv1.2"),
    (Tcp(send=b"ask", expect=bytes_pattern("ok$")), b"ok", "says 'ok'"),
    (Smtp(), b"220 a\r\n500 what\r\n250 y\r\n221 bye\r\n", "220 a"),
    (Smtp(), b"220 a\r\n250 y\r\n", "220 a"),
    (Smtp(), b"220 a\r\n250 y\r\n500 unknown\r\n", "220 a"),
    (Http(request="GET /", body=pattern("^ok$")),
     b"HTTP/1.1 200 OK\r\nX: a\r\n b: c\r\n\td\r\nContent-Length: 2, 2\r\n\r\nok more", "the body"),
    (Http(request="GET /", body=pattern("^ok$")),
     b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\ncontent-length: 2\r\n\r\nok more", "the body"),
    (Smtp(), b"220-a\r\n220 b\r\n250-x\r\n250 y\r\n221 bye\r\n", "220-a"),
    (Ftp(), b"120 soon\r\n220-ready\r\n anything\r\n220 now\r\n221 bye\r\n", "220-ready"),
    (Nntp(), b"201 no posting\r\n205 bye\r\n", "201"),
    (Pop3(), b"+OK hello\r\n+OK bye\r\n", "hello"),
    (Imap(), b"* OK [CAPABILITY IMAP4rev2] hi\r\n* BYE\r\na1 OK done\r\n", "CAPABILITY"),
    (Telnet(), b"\xff\xfd\x18", "negotiates"),
    (Telnet(expect=pattern("login:")), LOGIN, "login"),
    (Ldap(), LDAP, "bind"),
    (Redis(), b"-NOPERM this user has no permissions\r\n", "does not let this user ping"),
    (Redis(), b"+PONG\r\n", "PONG"),
    (Redis(password="x"), b"+OK\r\n-NOAUTH Authentication required.\r\n", "password"),
    (Mysql(), len(MYSQL).to_bytes(3, "little") + b"\0" + MYSQL, "11.4.2"),
    (Mysql(), _mysql(0, MYSQL_41) + _mysql(2, b"\0\0\0\2\0\0\0"), "greets as 8.0.40"),
    (Mysql(), _mysql(0, MYSQL_41) + _mysql(2, b"\xff\x15\x04#28000Access denied"), "refuses shunt"),
    (Mysql(), _mysql(0, MYSQL_41) + _mysql(2, b"\xfecaching_sha2_password\0x")
     + _mysql(4, b"\xff\x15\x04no"), "refuses shunt"),
    (Mysql(), _mysql(0, b"\xffi\x04Host is blocked"), "does not let this host in: error 1129"),
    (Postgres(), b"R\0\0\0\x08\0\0\0\x0a", "asks"),
    (Postgres(), _postgres_error("28P01"), "works"),
    (Grpc(), _grpc(1), "SERVING"),
    (Sip(over="tcp"), b"SIP/2.0 100 Trying\r\nl: 2\r\n\r\nxxSIP/2.0 200 OK\r\n\r\n", "200"),
    (Agent(), b"up 75% #busy\n", "75%"),
    (Prometheus(), METRICS, "load 50"),
    (Exec(command=("/bin/x",)), b"17.5\n", "17.5"),
]  # fmt: skip

WRONG: list[tuple[Advisor, bytes, str]] = [
    (Http(), b"HTTP/1.1 503 Busy\r\n\r\n", "503 Busy"),
    (Http(), b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
    (Http(request="GET /", body=pattern("ok")), b"HTTP/1.1 200 OK\r\n\r\nno", "has no 'ok'"),
    (Http(request="GET /", body=pattern("ok")),
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk"),
    (Ssl(), b"\x15\x03\x01\x00\x02\x02\x28", "alert, number 40"),
    (Ssl(), b"HTTP/1.1 400 Bad\r\n", "no TLS"),
    (Tcp(send=b"ask", expect=bytes_pattern("ok$")), b"no", "no 'ok$' in 'no'"),
    (Smtp(), b"554 go away\r\n", "554 go away"),
    (Smtp(), b"220 x\r\n502 what\r\n502 what\r\n", "502"),
    (Smtp(), b"220 x\r\n421 busy\r\n250 x\r\n", "421 busy"),
    (Http(request="GET /", body=pattern("ok")),
     b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nok", "no length: "),
    (Http(), b"HTTP/1.1 200 OK\r\n folded before any\r\n\r\n", "no header field"),
    (Ftp(), b"421 too many\r\n", "421"),
    (Nntp(), b"400 closed\r\n", "400"),
    (Pop3(), b"-ERR\r\n", "no +OK"),
    (Imap(), b"* BYE full\r\n", "no IMAP"),
    (Telnet(), b"", "closed the connection without a word"),
    (Telnet(expect=pattern("login:")), b"\xff\xfd\x18out of order\r\n", "after 'out of order'"),
    (Ldap(), _ldap(0x61, 49), "invalid credentials"),
    (Ldap(), b"HTTP/1.1", "no LDAP"),
    (Redis(), b"-LOADING\r\n", "LOADING"),
    (Mysql(), b"\x05\0\0\0\xff\x10\x04no", "error 1040"),
    (Mysql(), _mysql(0, MYSQL_41) + _mysql(2, b"what"), "no answer to a log-in"),
    (Mysql(), _mysql(0, MYSQL_41), "closed the connection"),
    (Postgres(), _postgres_error("53300"), "53300"),
    (Postgres(), b"HTTP/1.1 400", "no PostgreSQL"),
    (Grpc(), _grpc(0), "says UNKNOWN: no service by that name"),
    (Grpc(), _grpc(2), "NOT_SERVING"),
    (Grpc(), http2.frame(http2.GOAWAY), "GOAWAY"),
    (Grpc(), http2.frame(http2.HEADERS, 5, 1, b"\x88"), "no health service"),
    (Agent(), b"maint\n", "maint"),
    (Agent(), b"hello\n", "not a word of agents"),
    (Prometheus(), b"HTTP/1.0 200 OK\r\n\r\nnode_load1 1\n", "no number"),
    (Prometheus(), b"HTTP/1.0 404 No\r\n\r\n", "404"),
]  # fmt: skip

EVERY = [case[0] for case in [*RIGHT, *WRONG]]


def _name(case: object) -> str:
    return type(case).__name__ if not isinstance(case, bytes | str) else ""


@pytest.mark.parametrize(("advisor", "speech", "words"), RIGHT, ids=_name)
def test_a_working_server_is_up_however_its_words_are_cut(
    advisor: Advisor, speech: bytes, words: str
) -> None:
    for chunks in ([speech], bytewise(speech)):
        verdict, _ = talk(advisor, *chunks)
        assert verdict.up, verdict.words
        assert words in verdict.words or words == "17.5"


@pytest.mark.parametrize(("advisor", "speech", "words"), WRONG, ids=_name)
def test_a_failing_server_is_down_in_its_own_words(
    advisor: Advisor, speech: bytes, words: str
) -> None:
    for chunks in ([speech], bytewise(speech)):
        verdict, _ = talk(advisor, *chunks)
        assert verdict.up is False
        assert words in verdict.words


@pytest.mark.parametrize(("advisor", "speech", "words"), RIGHT, ids=_name)
def test_a_server_that_leaves_early_is_down_or_had_said_enough(
    advisor: Advisor, speech: bytes, words: str
) -> None:
    del words
    whole, _ = talk(advisor, speech)
    for end in range(len(speech)):
        verdict, _ = talk(advisor, speech[:end])
        if verdict.up:
            assert isinstance(advisor, Telnet | Http | Exec | Prometheus) or verdict == whole


@pytest.mark.parametrize("advisor", EVERY, ids=_name)
def test_no_answer_is_no_success_and_endless_answers_end(advisor: Advisor) -> None:
    if isinstance(advisor, Connect | Exec):
        return
    assert talk(advisor)[0].up is False
    for endless in (b"x", b"\r\n", b"220-a\r\n", bytes(1), b"HTTP/1.1 200 OK\r\n"):
        verdict, sent = talk(advisor, *[endless * 65536] * 300)
        assert verdict.up is False or isinstance(advisor, Telnet | Http)
        assert len(sent) < 1 << 20


@pytest.mark.parametrize("code", range(6))
@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_dns_answers_to_this_question_count(code: int, over: str) -> None:
    names = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")

    def server(query: bytes) -> list[bytes]:
        if not query:
            return []
        query = query if over == "udp" else query[2:]
        reply = query[:2] + bytes((0x81, 0x80 | code)) + query[4:]
        other = bytes((query[0] ^ 1,)) + query[1:2] + bytes((0x81, 0x84)) + query[4:]
        if over == "tcp":
            return [len(reply).to_bytes(2, "big") + reply]
        return [b"", b"x", other, query, reply]

    verdict = answer(Dns(query="www.example.org", record="A", over=over), server)
    assert verdict.up == (names[code] in {"NOERROR", "NXDOMAIN", "REFUSED"})
    assert names[code] in verdict.words


def test_mysql_logs_in_for_who_leaves_before_is_an_error_that_the_server_counts() -> None:
    other = _mysql(2, b"\xfecaching_sha2_password\0x") + _mysql(4, b"\0\0\0\2\0\0\0")
    _, sent = talk(Mysql(user="check"), _mysql(0, MYSQL_41) + other)
    head, body = sent[:4], sent[4 : 4 + int.from_bytes(sent[:3], "little")]
    assert head[3] == 1
    assert body[32:] == b"check\0\0mysql_native_password\0"
    assert sent[4 + len(body) :] == b"\0\0\0\3" + b"\1\0\0\0\1"  # no password; leave


def test_smtp_says_helo_where_ehlo_is_refused() -> None:
    for code in (500, 501, 502, 504, 550):
        _, sent = talk(Smtp(), b"220 x\r\n%d no\r\n250 y\r\n221 z\r\n" % code)
        assert sent == b"EHLO localhost\r\nHELO localhost\r\nQUIT\r\n"
    assert talk(Smtp(), b"220 x\r\n250 y\r\n221 z\r\n")[1] == b"EHLO localhost\r\nQUIT\r\n"


def test_sip_datagrams_of_others_are_let_pass() -> None:
    def server(query: bytes) -> list[bytes]:
        mine = query.replace(query.split(b"\r\n")[0], b"SIP/2.0 200 OK", 1)
        return [b"SIP/2.0 503 Other\r\n\r\n", b"noise", mine] if query else []

    assert answer(Sip(), server).up


def test_a_body_is_read_no_further_than_it_must_be() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = iter([head, *[b"2\r\nok\r\n"] * 9])
    verdict, _ = finish(Http(request="GET /", body=pattern("okok")).talk(TARGET), chunks)
    assert verdict.up
    assert len(list(chunks)) == 7


def test_telnet_options_are_refused() -> None:
    _, sent = talk(Telnet(expect=pattern("never")), b"\xff\xfd\x18\xff\xfb\x01\xff\xfc\x05")
    assert sent == b"\xff\xfc\x18\xff\xfe\x01"


@settings(max_examples=100, deadline=None)
@given(st.data(), st.binary(max_size=40))
def test_telnets_words_and_commands_are_told_apart_however_they_are_cut(
    data: st.DataObject, noise: bytes
) -> None:
    pieces = data.draw(st.lists(st.sampled_from(TELNET)))
    stream = b"".join(piece[0] for piece in pieces)
    at = data.draw(st.integers(0, len(stream)))
    negotiation = Negotiation()
    refusals = negotiation.hear(stream[:at]) + negotiation.hear(stream[at:])
    assert bytes(negotiation.said) == b"".join(piece[1] for piece in pieces)
    assert refusals == b"".join(piece[2] for piece in pieces)
    one, two = Negotiation(), Negotiation()
    assert one.hear(noise) == b"".join(two.hear(byte) for byte in bytewise(noise))
    assert one.said == two.said


def test_work_grows_no_faster_than_what_is_said() -> None:
    asked: list[int] = []
    reader = Reader()

    def enough(data: bytes) -> Judging:
        asked.append(len(data))
        yield from ()
        return False

    def dialogue() -> Dialogue:
        yield from reader.rest(enough=enough)
        return up("all")

    finish(dialogue(), [b"x" * 100] * 5000)
    assert len(asked) < 250
    assert sum(asked) < 10 * 500_000
    assert asked[:3] == [0, 100, 200]

    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 40_000
    looks = Looks()
    verdict, _ = talk(Http(request="GET /", body=looks), chunked + b"0\r\n\r\n")  # type: ignore[arg-type]  # counts
    assert verdict.up is False
    assert 40_000 < looks.total < 10 * 40_000


@pytest.mark.parametrize("begin", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_without_an_end_is_enough_when_it_has_what_is_wanted(begin: bytes) -> None:
    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n" + begin + b"\r\n"
        for number in range(4096):  # never a whole chunk in a piece
            piece = (b"ok" if number == 500 else b"no") * 50
            yield piece if not begin else b"64\r\n" * (not number) + piece + b"\r\n64\r\n"

    verdict, _ = finish(Http(request="GET /", body=pattern("ok")).talk(TARGET), endless())
    assert verdict.up


def test_a_huge_message_is_no_health_answer_and_no_operation() -> None:
    flood = http2.frame(http2.DATA, 0, 1, b"\0\0\1\0\0" + bytes(11)) * 1000
    assert "more than 1024 bytes" in talk(Grpc(), flood)[0].words
    many = b"\x30\x83\x03\x00\x00" + b"\x04\x00" * 0x18000
    with patch("shunt.advisors.protocols.ldap.piece", side_effect=piece) as looked:
        assert talk(Ldap(), many)[0].up is False
    assert looked.call_count < 10


def test_what_is_said_is_right_to_the_byte() -> None:
    assert talk(Http(request="GET /health", host="x.example"))[1].startswith(
        b"GET /health HTTP/1.1\r\nHost: x.example\r\n"
    )
    assert talk(Redis(user="u", password="pw"))[1] == b"*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$2\r\npw\r\n"
    assert talk(Postgres(user="u", database="d"))[1] == (
        b"\0\0\0\x1b\0\3\0\0user\0u\0database\0d\0\0"
    )
    assert talk(Ldap())[1] == bytes.fromhex("300c020101600702010304008000")


def test_an_agents_drain_is_no_weight_and_maint_is_down_as_well() -> None:
    assert talk(Agent(), b"drain\n")[0].share == 0
    assert talk(Agent(), b"ready 30%\r\n")[0].share == 0.3
    for line in (b"50% drain\n", b"drain 50%\n"):
        assert talk(Agent(), line)[0].share == 0
    for word in (b"maint", b"down", b"stopped", b"failed"):
        verdict, _ = talk(Agent(), word + b", 100% #disk\n")
        assert verdict.up is False
        assert verdict.share == 0


def test_commands_get_address_port_and_name() -> None:
    advisor = Exec(command=("/bin/check", "--at=%a:%p", "%s", "100%%"))
    assert advisor.argv(TARGET) == ["/bin/check", "--at=192.0.2.10:1234", "a", "100%"]
