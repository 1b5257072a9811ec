"""An interface's problems are told, each by its kind and with what to do; a sound one has none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog

from shunt.dataplane.attach import Mode
from shunt.dispatcher.interfaces import (
    LATELY,
    InterfaceMonitor,
    InterfaceState,
    closed,
    notes,
    problems,
)
from shunt.network.links import Link, Xdp, XdpMode

if TYPE_CHECKING:
    from shunt.dataplane.plane import Plane

LINK = Link(index=2, name="eth0", mac=None, up=True, running=True, mtu=1500)
SOUND = InterfaceState("eth0", Mode.NATIVE, link=LINK, not_sent_lately=0, tags_off=())


def test_a_sound_interface_has_no_problem() -> None:
    assert not list(problems(SOUND))
    assert not list(notes(SOUND))
    assert not list(problems(replace(SOUND, not_sent=5))), "its cause is gone"


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"link": None}, "gone", "is gone"),
        ({"link": replace(LINK, name="lan0")}, "renamed", "is named lan0 now"),
        ({"link": replace(LINK, up=False, running=False)}, "down", "ip link set dev eth0 up"),
        ({"link": replace(LINK, running=False)}, "no_carrier", "no carrier"),
        ({"closed": "nobody listens"}, "closed", "lets no frame out: nobody listens"),
        ({"hides": True}, "no_headers", "set mode: generic"),
        ({"not_sent": 9000, "not_sent_lately": 7000}, "lost", "could not send 7,000 frames"),
        ({"tags_off": ("rxvlan",), "vlans": ("eth0.7",)}, "vlan_tags", "has eth0.7: tagged"),
    ],
)
def test_a_problem_has_a_kind_and_a_sentence(change: dict[str, Any], kind: str, words: str) -> None:
    (problem,) = problems(replace(SOUND, **change))
    assert problem.kind == kind
    assert words in problem.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tags_off": ("rxvlan",)}, "ethtool -K eth0 rxvlan off"),
        (
            {"mode": Mode.GENERIC, "native_refused": "EINVAL", "link": replace(LINK, mtu=9000)},
            "has an MTU of 9000",
        ),
    ],
)
def test_what_may_be_all_right_is_a_note(change: dict[str, Any], words: str) -> None:
    state = replace(SOUND, **change)
    assert not list(problems(state))
    (note,) = notes(state)
    assert words in note


@pytest.mark.parametrize(
    "change",
    [
        {"closed": "nobody listens"},
        {"not_sent_lately": 9},
        {"tags_off": ("rxvlan",), "vlans": ("eth0.7",)},
    ],
)
def test_generic_mode_has_no_problem_of_native_mode(change: dict[str, Any]) -> None:
    assert not list(problems(replace(SOUND, mode=Mode.GENERIC, **change)))


VETH = replace(LINK, kind="veth", peer=9)
PEER = replace(LINK, index=9, name="port", kind="veth")


@pytest.mark.parametrize(
    ("link", "peer", "words"),
    [
        (LINK, None, ""),
        (replace(LINK, kind="bond"), PEER, ""),
        (VETH, None, "cannot be seen"),
        (VETH, PEER, "port, runs no XDP program"),
        (VETH, replace(PEER, xdp=Xdp((1,), XdpMode.GENERIC)), "runs no XDP program"),
        (VETH, replace(PEER, xdp=Xdp((1,), XdpMode.NATIVE)), ""),
        (VETH, replace(PEER, xdp=Xdp((1, 2), XdpMode.MULTI)), ""),
    ],
)
def test_frames_leave_a_veth_only_by_another_native_program(
    link: Link, peer: Link | None, words: str
) -> None:
    found = closed(link, peer)
    assert words in found
    assert bool(found) == bool(words)


class Looked:
    """A monitor of one native interface, and what it told at each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, link: Link = LINK) -> None:
        self.lost = self.headless = 0
        self.monitor = InterfaceMonitor()
        module = "shunt.dispatcher.interfaces"
        monkeypatch.setattr(f"{module}.links", lambda: (link,))
        monkeypatch.setattr(f"{module}.frames_not_sent", lambda _: self.lost)
        monkeypatch.setattr(f"{module}.tags_taken_off", lambda _: ())
        monkeypatch.setattr(f"{module}._attached", lambda _: {"eth0": (2, Mode.NATIVE, "")})

    def causes(self) -> dict[str, int]:
        return {"passed_no_headers": self.headless}

    def look(self, at: float) -> list[tuple[str, str]]:
        with structlog.testing.capture_logs() as logs:
            self.monitor.look(cast("Plane", self), at)
        return [(each["log_level"], each["problem"]) for each in logs]


def test_what_was_lost_is_news_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each problem is logged when it comes and when it goes, and not in between."""
    looked = Looked(monkeypatch)
    looked.lost = 5
    assert looked.look(0) == looked.look(1) == []
    looked.lost = 7
    assert looked.look(2) == [("warning", "could not send 2 frames in the last minute")]
    looked.lost = 8
    assert looked.look(3) == looked.look(2 + LATELY) == []
    assert looked.look(4 + LATELY) == [("info", "lost")]


def test_a_driver_that_hides_headers_is_not_fit_for_native_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = Looked(monkeypatch, replace(LINK, mtu=9000))
    looked.headless = 100
    assert looked.look(0) == [], "they were counted before"
    assert not looked.monitor.unfit
    looked.headless = 101
    ((level, problem),) = looked.look(1)
    assert (level, "no headers of jumbo frames" in problem) == ("warning", True)
    assert list(looked.monitor.unfit) == ["eth0"]
    assert looked.look(2 + LATELY) == [("info", "no_headers")]
    assert not looked.monitor.unfit


def test_without_jumbo_frames_no_driver_hides_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = Looked(monkeypatch)
    looked.look(0)
    looked.headless = 1
    assert looked.look(1) == []
    assert not looked.monitor.unfit
