"""tcp and udp: what is said to the byte, and what counts as an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shunt.advisors.advisor import Target
from shunt.advisors.check import make
from shunt.advisors.octets import octets
from shunt.advisors.run import run
from shunt.advisors.settings import SettingError, SettingsError
from tests.advisors.driving import bytewise, talk
from tests.advisors.serving import LOOPBACK, impatient
from tests.advisors.test_documentation import PAGE


def advisor(kind: str, **settings: str) -> Any:
    return make(kind, settings, port=1).advisor


@given(st.binary(max_size=300))
def test_every_byte_can_be_written(data: bytes) -> None:
    assert octets("".join(f"\\x{byte:02x}" for byte in data)) == data
    assert octets("".join(f"\\x{byte:02X}" for byte in data)) == data


@pytest.mark.parametrize(
    ("written", "data"),
    [("PING\\r\\n", b"PING\r\n"), ("PING\r\n", b"PING\r\n"), ("a\\\\n", b"a\\n"),
     ("\\0\\t", b"\0\t"), ("é\\xff", b"\xc3\xa9\xff"), ("", b""), ("\\x001", b"\x001")],
)  # fmt: skip
def test_bytes_are_written_as_text_with_escapes(written: str, data: bytes) -> None:
    assert octets(written) == data


@pytest.mark.parametrize(
    ("written", "words"),
    [("a\\q", "character 2: no escape begins with `\\q`"), ("\\x1", "no escape begins with `\\x`"),
     ("ab\\", "character 3"), ("x" * 4097, "is 4097 bytes long"), ("\udc80", "half a character")],
)  # fmt: skip
def test_what_stands_for_no_byte_is_refused(written: str, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        octets(written)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "speech", "up", "words"),
    [
        ({"expect": "^220 "}, b"220 ready\r\n", True, "says '220 ready'"),
        ({"expect": "^220 "}, b"421 busy\r\n", False, "no '^220 ' in '421 busy'"),
        ({"send": "x"}, b"whatever", True, "says 'whatever'"),
        ({"send": "x"}, b"", False, "closed the connection without a word"),
        ({"send": "x", "expect": "y"}, b"", False, "closed the connection without a word"),
        ({"expect": r"\x00\xff$"}, b"\1\0\xff", True, "says"),
        ({"expect": "end"}, b"x" * 70_000 + b"end", False, "no 'end' in 'xxx"),
    ],
)
def test_tcp_hears_until_it_is_enough(
    settings: dict[str, str], speech: bytes, *, up: bool, words: str
) -> None:
    verdict, sent = talk(advisor("tcp", **settings), speech)
    assert verdict.up is up
    assert words in verdict.words
    assert sent == settings.get("send", "").encode()
    assert talk(advisor("tcp", **settings), *bytewise(speech[:300]))[0].up is up


def test_what_says_nothing_and_expects_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="`connect` opens a connection only"):
        make("tcp", {}, port=1)
    with pytest.raises(SettingsError, match="send: is missing"):
        make("udp", {}, port=1)
    with pytest.raises(SettingsError, match="send: is empty"):
        make("udp", {"send": ""}, port=1)


@pytest.mark.parametrize(
    ("settings", "answer", "up", "words"),
    [
        ({}, b"anything", True, "says 'anything'"),
        ({"expect": "^\\xff\\x00"}, b"\xff\0\1", True, "says"),
        ({"expect": "^ok"}, b"no", False, "no '^ok' in 'no'"),
    ],
)
async def test_udp_asks_by_one_datagram(
    settings: dict[str, str], answer: bytes, *, up: bool, words: str
) -> None:
    heard: list[bytes] = []

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            heard.append(data)
            self.transport.sendto(answer, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=(str(LOOPBACK), 0))
    target = Target(LOOPBACK, transport.get_extra_info("sockname")[1])
    check = impatient(make("udp", {"send": "\\xff\\0ask", **settings}, port=1), 30.0)
    verdict = await run(check, target)
    transport.close()
    assert heard == [b"\xff\0ask"]
    assert verdict.up is up
    assert words in verdict.words


def test_the_manuals_examples_are_right() -> None:
    examples = [line for line in PAGE.splitlines() if line.startswith("advisor: {type: tcp, send")]
    examples += [line for line in PAGE.splitlines() if line.startswith("advisor: {type: udp, send")]
    assert len(examples) == 2
    for line in examples:
        given_ = yaml.safe_load(line)["advisor"]
        made = advisor(given_.pop("type"), **given_)
        assert made.send in {b"stats\r\n", b"\xff\xff\xff\xffstatus\n"}
        answer = b"STAT pid 1\r\n" if made.name == "tcp" else b"\xff\xff\xff\xffstatusResponse\n"
        assert talk(made, answer)[0].up
