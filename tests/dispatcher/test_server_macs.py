"""A server's MAC that changes is told, within bounds; a second owner is seen; a pin holds."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from shunt.config import parse
from shunt.dispatcher.neighbour_news import NeighbourNews
from shunt.dispatcher.server_macs import ServerMacs
from shunt.dispatcher.whereabouts import pinned
from shunt.dispatcher.wishes import Way
from shunt.model.addresses import Mac
from shunt.network.neighbours import Neighbour, State

if TYPE_CHECKING:
    from shunt.dispatcher.events import Events
    from shunt.dispatcher.server_macs import MacNews
    from shunt.model.config import Config

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


def test_a_pin_that_comes_later_is_held_against_what_is_answered_already() -> None:
    macs = ServerMacs()
    macs.take("a", ONE, A, 0.0)
    macs.take("a", ONE, B, 1.0)
    news = macs.take("a", ONE, B, 2.0, pin=A)
    assert news is not None
    assert (news.mac, news.before, news.pinned) == (B, A, True)
    assert macs.doubtful(1e6) == (news,)
    assert macs.take("a", ONE, B, 1e6, pin=A) is None, "told once"
    other = macs.take("a", ONE, B, 1e6, pin=C)
    assert other is not None
    assert other.before == C
    assert macs.doubtful(2e6) == (other,)


@pytest.mark.parametrize("pin", [B, None])
def test_a_contradiction_of_a_pin_goes_away_with_the_pin(pin: Mac | None) -> None:
    macs = ServerMacs()
    assert macs.take("a", ONE, B, 0.0, pin=A) is not None
    assert macs.take("a", ONE, B, 1.0, pin=pin) is None
    assert macs.doubtful(1.0) == ()


def test_a_change_of_late_is_settled_by_the_pin_and_not_by_another_reload() -> None:
    macs = ServerMacs()
    macs.take("a", ONE, A, 0.0)
    macs.take("a", ONE, B, 1.0)
    assert macs.take("new name", ONE, B, 2.0) is None
    assert [each.server for each in macs.doubtful(2.0)] == ["new name"]
    assert macs.take("new name", ONE, B, 3.0, pin=B) is None
    assert macs.doubtful(3.0) == ()


def configured(mac: str) -> Config:
    return parse(
        "dispatcher: {interface: eth0}\nclusters:\n  web:\n    address: 192.0.2.10\n"
        "    ports: [{port: 80, servers: [a]}]\n"
        f"servers: {{a: {{address: 192.0.2.21{mac}}}}}\n",
        "shunt.yaml",
    )


async def test_a_reload_judges_what_the_neighbours_say_now() -> None:
    told: list[MacNews] = []
    news = NeighbourNews(cast("Events", SimpleNamespace(server_mac=told.append)))
    now = Neighbour(ONE, "eth0", None, State.REACHABLE, B, None, 0.0)
    news.follow({ONE: now}, configured(""))
    assert not told
    news.follow({ONE: now}, configured(f", mac: '{A}'"))
    assert [(each.mac, each.before, each.pinned) for each in told] == [(B, A, True)]
    assert news.doubtful() == tuple(told)
    silent = replace(now, mac=None, reason="silent", state=State.FAILED)
    news.follow({ONE: silent}, configured(f", mac: '{A}'"))
    assert news.doubtful() == tuple(told), "by the same pin"
    news.follow({ONE: silent}, configured(f", mac: '{C}'"))
    assert news.doubtful() == ()
    news.follow({ONE: now}, configured(f", mac: '{B}'"))
    assert len(told) == 1


@pytest.mark.parametrize(("way", "mac", "expected"), [
    (Way(B, 3), A, Way(A, 3)),
    (Way(B, 3), None, Way(B, 3)),
    (Way(B, 3, "silent", lost=True), A, Way(A, 3, "silent", lost=True)),
    (Way(None, 3, "silent"), A, Way(None, 3, "silent")),
])  # fmt: skip
def test_frames_go_to_the_pinned_mac(way: Way, mac: Mac | None, expected: Way) -> None:
    assert pinned(way, mac) == expected
