"""Netlink's coding holds for any bytes; its sockets tell the kernel's refusals and losses."""

from __future__ import annotations

import asyncio
import errno
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import NetworkError
from shunt.network.netlink import (
    Listener,
    Message,
    Netlink,
    Request,
    attribute,
    attributes,
    interface_name,
    messages,
    number,
    text,
)

if TYPE_CHECKING:
    from shunt.lab.lab import Lab

GETLINK, NEWLINK = 18, 16
ANY_LINK = bytes(16)


def framed(message: Message) -> bytes:
    length = 16 + len(message.body)
    header = struct.pack("=IHHII", length, message.kind, message.flags, message.sequence, 0)
    return header + message.body + b"\0" * (-length % 4)


words = st.integers(0, 0xFFFF)
any_message = st.builds(Message, words, words, st.integers(0, 2**32 - 1), st.binary(max_size=40))


@settings(deadline=None, max_examples=200)
@given(st.lists(any_message, max_size=5))
def test_messages_come_out_as_they_went_in(sent: list[Message]) -> None:
    assert list(messages(b"".join(map(framed, sent)))) == sent


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40), max_size=6))
def test_attributes_come_out_as_they_went_in(sent: dict[int, bytes]) -> None:
    nested = 0x8000
    data = b"".join(attribute(kind | nested, payload) for kind, payload in sent.items())
    assert attributes(data) == sent


@settings(deadline=None, max_examples=500)
@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_but_ours(data: bytes) -> None:
    for parse in (lambda: list(messages(data)), lambda: attributes(data)):
        with suppress(NetworkError):
            parse()


def test_values_of_attributes() -> None:
    assert number(struct.pack("=I", 7)) == 7
    assert number(struct.pack("=H", 513)) == 513
    assert text(b"eth0\0") == "eth0"


def test_an_interface_that_went_away_is_told() -> None:
    assert interface_name(1) == "lo"
    with pytest.raises(NetworkError, match="interface 2147483646 went away"):
        interface_name(0x7FFFFFFE)


def test_a_refusal_says_why_and_has_the_kernels_number() -> None:
    with Netlink() as netlink, pytest.raises(NetworkError) as caught:
        netlink.ask(Request(GETLINK, struct.pack("=BxHiII", 0, 0, 0x7FFFFFFF, 0, 0)))
    assert caught.value.errno == errno.ENODEV
    assert "No such device" in caught.value.message


def test_a_socket_asks_inside_a_running_event_loop() -> None:
    async def ask() -> tuple[Message, ...]:
        with Netlink() as netlink:
            return netlink.dump(GETLINK, ANY_LINK)

    assert {message.kind for message in asyncio.run(ask())} == {NEWLINK}


@pytest.mark.lab
def test_a_listener_tells_a_loss_and_grows(lab: Lab) -> None:
    host = lab.host("one")
    listener = host.call(lambda: Listener([1], buffer=2048))
    try:
        assert listener.read() == ([], False)
        for turn in ("down", "up") * 30:
            host.ip("link", "set", "lo", turn)
        assert listener.read() == ([], True)
        assert (listener.overruns, listener.buffer) == (1, 4096)
        host.ip("link", "set", "lo", "down")
        heard, lost = listener.read()
        assert heard
        assert not lost
    finally:
        listener.close()
