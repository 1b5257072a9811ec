"""A server's MAC that changes is told, within bounds; a second owner is seen; a pin holds."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from shunt.dispatcher.server_macs import ServerMacs
from shunt.dispatcher.whereabouts import pinned
from shunt.dispatcher.wishes import Way
from shunt.model.addresses import Mac

A, B, C = (Mac.parse(f"02:00:00:00:00:0{n}") for n in (1, 2, 3))
ONE, TWO = ip_address("192.0.2.21"), ip_address("192.0.2.22")


def test_the_first_answer_is_no_news_and_another_one_is() -> None:
    macs = ServerMacs()
    assert macs.take("a", ONE, A, 0.0) is None
    assert macs.take("a", ONE, A, 1.0) is None
    news = macs.take("a", ONE, B, 2.0)
    assert news is not None
    assert (news.mac, news.before, news.contested, news.pinned) == (B, A, False, False)
    assert "exchanged" in news.reason
    assert macs.take("b", TWO, B, 3.0) is None, "another server"


def test_a_mac_that_comes_back_at_once_has_two_owners() -> None:
    macs = ServerMacs()
    macs.take("a", ONE, A, 0.0)
    macs.take("a", ONE, B, 1.0)
    news = macs.take("a", ONE, A, 2.0)
    assert news is not None
    assert news.contested
    assert "two machines" in news.reason
    assert [each.mac for each in macs.doubtful(3.0)] == [A]
    assert macs.doubtful(100.0) == ()
    assert (late := macs.take("a", ONE, B, 100.0)) is not None
    assert not late.contested, "an old card that came back after a while"


def test_whoever_sends_how_much_is_told_a_few_times() -> None:
    macs, told = ServerMacs(), []
    macs.take("a", ONE, A, 0.0)
    for number in range(1, 30_003):
        news = macs.take("a", ONE, (A, B)[number % 2], number * 0.0005)
        told += [news] if news else []
    assert len(told) == 3
    news = macs.take("a", ONE, C, 200.0)
    assert news is not None
    assert news.times == 30_000, "those that were not told are counted"


def test_many_servers_at_once_are_told_in_bounds() -> None:
    macs = ServerMacs()
    addresses = [ip_address(0x0A000000 + n) for n in range(10_000)]
    for address in addresses:
        macs.take("s", address, A, 0.0)
    told = [macs.take("s", address, B, 1.0) for address in addresses]
    assert sum(news is not None for news in told) == 50
    assert len(macs.doubtful(2.0)) == 10_000
    macs.keep_to([ONE])
    assert macs.doubtful(2.0) == ()


def test_made_up_macs_take_no_memory() -> None:
    macs = ServerMacs()
    for number in range(1000):
        macs.take("a", ONE, Mac(b"\2" + number.to_bytes(5, "big")), 1.0)
    assert len(macs._histories[ONE].owners) == 8


def test_a_pin_that_is_contradicted_stays_an_alarm_until_it_is_not() -> None:
    macs = ServerMacs()
    news = macs.take("a", ONE, B, 0.0, pin=A)
    assert news is not None
    assert (news.mac, news.before, news.pinned) == (B, A, True)
    assert macs.doubtful(1e6) == (news,)
    assert macs.take("a", ONE, A, 2e6, pin=A) is None
    assert macs.doubtful(2e6) == ()


@pytest.mark.parametrize(("way", "mac", "expected"), [
    (Way(B, 3), A, Way(A, 3)),
    (Way(B, 3), None, Way(B, 3)),
    (Way(B, 3, "silent", lost=True), A, Way(A, 3, "silent", lost=True)),
    (Way(None, 3, "silent"), A, Way(None, 3, "silent")),
])  # fmt: skip
def test_frames_go_to_the_pinned_mac(way: Way, mac: Mac | None, expected: Way) -> None:
    assert pinned(way, mac) == expected
