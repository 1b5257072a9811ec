"""A server that gets traffic is not changed under its clients' hands."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from shunt.cli.output import Output
from shunt.cli.server_traffic import Care, Traffic, consent, interrupting
from shunt.dispatcher import control
from shunt.errors import ControlError, InUseError
from shunt.lab.topology import CLUSTERS
from shunt.model.config import Server
from shunt.servers.apply import Examination
from shunt.servers.record import Entry, Record
from shunt.servers.steps import Plan, Step
from shunt.servers.wish import Wish
from tests.dispatcher.scene import EQUAL, OWN, Scene, configuration

if TYPE_CHECKING:
    from collections.abc import Iterator

FOUR, OTHER, SIX = (ip_address(text) for text in ("192.0.2.10", "192.0.2.11", "2001:db8::10"))
WISH = Wish(Server("a", (ip_address("192.0.2.21"),)), (FOUR, OTHER, SIX))


def row(server: str | None = "a", **more: Any) -> dict[str, Any]:
    return {"server": server, "address": "192.0.2.21", "share": 0.0, "elder_slots": 0,
            "exceptions": 0, "rates": {}} | more  # fmt: skip


def status(*rows: dict[str, Any], address: str = "192.0.2.10") -> dict[str, Any]:
    return {"services": [{"name": f"{address}:80/tcp", "address": address, "servers": list(rows)}]}


def before(*undone: str, steps: tuple[str, ...] = ()) -> Examination:
    planned = Plan(tuple(Step(i, i, "why", (), (), ()) for i in steps))
    return Examination(planned, Record(), tuple(Entry(i, i, ()) for i in undone))


@pytest.mark.parametrize(
    ("seen", "served"),
    [
        (status(row(share=0.3)), {FOUR}),
        (status(row(None, elder_slots=2)), {FOUR}),  # it has left the service, its flows have not
        (status(row(exceptions=1)), {FOUR}),
        (status(row("other name", share=0.3)), {FOUR}),  # known by its address
        (status(row(share=0.3), address="0.0.0.0"), {FOUR, OTHER}),
        (status(row(share=0.3), address="::"), {SIX}),
        (status(row()), set()),
        (status(row("b", address="192.0.2.22", share=1.0)), set()),
    ],
)
def test_what_the_daemon_gives_to_a_server(seen: dict[str, Any], served: set[object]) -> None:
    words, found = Traffic(seen).needs(WISH)
    assert found == served
    assert bool(words) is bool(served)


@pytest.mark.parametrize(
    ("now", "interrupts"),
    [
        (before(f"alias:{FOUR}"), True),
        (before(f"alias:{OTHER}"), False),  # it gets no traffic
        (before("silence:ipv4/conf/all/arp_ignore"), True),
        (before("tunnel:tunl0"), True),
        (before("persist:/etc/netplan/90-shunt.yaml"), True),  # a manager may take addresses away
        (before(f"keep:{FOUR}"), False),  # for the next boot alone
        (before(), False),
        (before(steps=(f"alias:{FOUR}",)), False),
        (before(steps=(f"narrow:{FOUR}/24", f"alias:{FOUR}")), True),  # it is away for a moment
        (before(steps=(f"alias:{FOUR}", f"narrow:{FOUR}/24@lo")), False),  # it is never missing
        (before(steps=(f"narrow:{OTHER}/24", f"alias:{OTHER}")), False),
    ],
)
def test_what_interrupts(now: Examination, interrupts: bool) -> None:
    assert bool(interrupting(now, frozenset({FOUR}))) is interrupts
    names = [entry.id for entry in now.stale] + [step.id for step in now.plan.steps]
    if any(str(OTHER) in name for name in names):
        assert interrupting(now, None)  # not known: it may get some


def answering(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | None) -> None:
    def ask(*_: object, **__: object) -> dict[str, Any]:
        if answer is None:
            raise ControlError("no dispatcher runs here") from FileNotFoundError()
        return answer

    monkeypatch.setattr(control, "request", ask)


def test_refused_while_it_gets_traffic_unless_forced(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, status(row(share=1 / 3)))
    with pytest.raises(InUseError, match=r"a still gets traffic .*33\.3% of the slots") as refused:
        consent(Care(), Output())(WISH, before(f"alias:{FOUR}"))
    assert "quiesce a --wait first, or --force" in (refused.value.hint or "")
    consent(Care(force=True), Output())(WISH, before(f"alias:{FOUR}"))
    consent(Care(), Output())(WISH, before(f"alias:{OTHER}"))
    answering(monkeypatch, status(row()))
    consent(Care(), Output())(WISH, before(f"alias:{FOUR}"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("answer", [None, status(row("b", address="192.0.2.22", share=1.0))])
def test_what_cannot_be_known_is_said(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: dict[str, Any] | None,
) -> None:
    answering(monkeypatch, answer)
    ask = consent(Care(), Output())
    ask(WISH, before(f"keep:{FOUR}"))
    assert capsys.readouterr().err == ""
    ask(WISH, before(f"alias:{FOUR}"))
    said = " ".join(capsys.readouterr().err.split())
    assert "warning: a: whether a dispatcher gives it traffic is not known here" in said


@pytest.mark.parametrize("cause", [TimeoutError(), PermissionError(), ConnectionResetError(), None])
def test_a_daemon_that_does_not_tell_is_not_one_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, cause: Exception | None
) -> None:
    def ask(*_: object, **__: object) -> None:
        raise ControlError("it has not answered") from cause

    monkeypatch.setattr(control, "request", ask)
    consent(Care(), Output())(WISH, before(f"keep:{FOUR}"))
    with pytest.raises(InUseError, match="could not be asked") as refused:
        consent(Care(), Output())(WISH, before(f"alias:{FOUR}"))
    assert "--force" in (refused.value.hint or "")
    consent(Care(force=True), Output())(WISH, before(f"alias:{FOUR}"))


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene.made() as made:
        yield made


@pytest.mark.lab
@pytest.mark.bpf
def test_a_real_daemons_server_is_left_alone_unless_forced(scene: Scene) -> None:
    host = scene.standing.servers["a"]
    for address in CLUSTERS:
        host.ip("address", "delete", f"{address}/{address.max_prefixlen}", "dev", "lo")
    way = ("--local", "--netns", host.namespace, "--own", OWN["a"])
    wanted = [word for address in CLUSTERS for word in ("--cluster", str(address))]
    assert scene.shunt("server", "apply", *way, *wanted).status == 0
    scene.up(configuration(EQUAL))

    refused = scene.shunt("server", "remove", *way)
    assert refused.status == 1
    assert "still gets traffic" in refused.stdout
    assert f"{CLUSTERS[0]}/32" in host.ip("address", "show", "dev", "lo")
    fewer = scene.shunt("server", "apply", *way, *wanted[:2], "--only")
    assert (fewer.status, "still gets traffic" in fewer.stdout) == (1, True)
    assert f"{CLUSTERS[1]}/128" in host.ip("address", "show", "dev", "lo")

    removed = scene.shunt("server", "remove", *way, "--force")
    assert removed.status == 0, removed.stdout + removed.stderr
    assert "warning" not in removed.stderr
    assert f"{CLUSTERS[0]}/32" not in host.ip("address", "show", "dev", "lo")
    scene.down()
