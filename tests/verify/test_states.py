"""Every machine state on one segment, examined once: each verdict and each named cause."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.lab.lab import Lab
from shunt.verify.examine import Manner, Report, examine
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.subject import Application, Cluster, Examined, Port, Subject
from tests.verify.states import PREFIX4, PREFIX6, STATES, Place, State
from tests.verify.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

_FIRST = 20  # the number of the first state's server


def _place(lab: Lab, state: State, web: Web) -> Place:
    number = _FIRST + STATES.index(state)
    return Place(lab, lab.host(f"h{number}"), number, web.listen)


@pytest.fixture(scope="module")
def segment() -> Iterator[tuple[Lab, dict[str, Place]]]:
    with Lab.create() as lab, Web() as web:
        lab.segment("lan")
        lab.segment("back")
        own = [f"198.18.0.9/{PREFIX4}", f"2001:db8:9::9/{PREFIX6}"]
        lab.join(lab.host("verifier"), "lan", addresses=own)
        places = {state.name: _place(lab, state, web) for state in STATES}
        for state in STATES:
            place = places[state.name]
            if state.held:
                own = [f"{place.own4}/{PREFIX4}", f"{place.own6}/{PREFIX6}"]
                lab.join(place.host, "lan", addresses=own)
            state.prepare(place)
        yield lab, places


def _subject(places: dict[str, Place], *, live: bool = False) -> Subject:
    servers = {
        name: Examined(name, (ip_address(place.own4), ip_address(place.own6)))
        for name, place in places.items()
    }
    clusters = tuple(
        Cluster(name, ip_address(address), (name,), (Port(80, application=Application.HTTP),))
        for name, place in places.items()
        for address in (place.cluster4, place.cluster6)
    )
    return Subject(servers, clusters, live=live)


@pytest.fixture(scope="module")
def report(segment: tuple[Lab, dict[str, Place]]) -> Report:
    lab, places = segment
    subject = _subject(places)
    verifier = lab.hosts["verifier"]
    return verifier.call(lambda: asyncio.run(examine(subject, Manner(rate=1000))))


def _of(report: Report, place: Place, name: str) -> list[Finding]:
    clusters = {place.cluster4, place.cluster6}
    return [
        finding
        for finding in report.findings
        if finding.server == name
        or (finding.check is Check.OTHERS and str(finding.address) in clusters)
    ]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name.replace(" ", "-"))
def test_state_is_named(
    state: State, report: Report, segment: tuple[Lab, dict[str, Place]]
) -> None:
    found: dict[tuple[Check, int], tuple[Verdict, Cause | None]] = {}
    for finding in _of(report, segment[1][state.name], state.name):
        assert finding.address is not None
        plain = finding.verdict is Verdict.RIGHT and finding.cause is not Cause.PING_FILTERED
        if not plain and finding.check not in state.ignored:
            found[finding.check, finding.address.version] = finding.verdict, finding.cause
    assert found == state.expected


def test_right_servers_are_asked_everything(report: Report) -> None:
    checks = {
        (finding.check, finding.address.version)
        for finding in report.findings
        if finding.server == "right" and finding.address is not None
    }
    every = set(Check) - {Check.OTHERS, Check.DISPATCHER, Check.HEARD, Check.VERIFIER}
    assert checks == {(check, version) for check in every for version in (4, 6)}


def test_verifier_is_as_before(report: Report, segment: tuple[Lab, dict[str, Place]]) -> None:
    (left,) = (finding for finding in report.findings if finding.check is Check.VERIFIER)
    assert left.verdict is Verdict.RIGHT
    assert not report.left_out
    verifier = segment[0].hosts["verifier"]
    links = [line.split(": ")[1].split("@")[0] for line in verifier.ip("-o", "link").splitlines()]
    assert links == ["lo", "eth0"]
    assert not verifier.ip("neighbour", "show", "to", "198.18.1.0/24")
