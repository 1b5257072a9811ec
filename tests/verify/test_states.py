"""Every machine state on one segment, examined once: each verdict and each named cause."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.lab.lab import Lab
from shunt.model.config import Server
from shunt.verify.examine import Manner, Report, examine
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.subject import Application, Cluster, Examined, Port, Subject
from tests.verify.states import PREFIX4, PREFIX6, STATES, Expected, Place, State
from tests.verify.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.lab

_SEGMENT = (Check.OTHERS, Check.DISPATCHER)
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
        name: Examined(name, own, Server(name, own))
        for name, own in (
            (name, (ip_address(place.own4), ip_address(place.own6)))
            for name, place in places.items()
        )
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
    return verifier.call(lambda: asyncio.run(examine(subject, Manner(rate=1000, listen=1.2))))


@pytest.fixture(scope="module")
def live_report(segment: tuple[Lab, dict[str, Place]]) -> Report:
    """The same segment, said to have a dispatcher: only one state's cluster has one."""
    lab, places = segment
    subject = _subject(places, live=True)
    verifier = lab.hosts["verifier"]
    return verifier.call(lambda: asyncio.run(examine(subject, Manner(rate=1000, listen=1.2))))


def _of(report: Report, place: Place, name: str) -> list[Finding]:
    clusters = {place.cluster4, place.cluster6}
    return [
        finding
        for finding in report.findings
        if finding.server == name
        or (finding.check in _SEGMENT and str(finding.address) in clusters)
    ]


def _found(report: Report, place: Place, state: State) -> Expected:
    found: Expected = {}
    for finding in _of(report, place, state.name):
        assert finding.address is not None
        plain = finding.verdict is Verdict.RIGHT and finding.cause is not Cause.PING_FILTERED
        if not plain and finding.check not in state.ignored:
            found[finding.check, finding.address.version] = finding.verdict, finding.cause
    return found


every_state = pytest.mark.parametrize(
    "state", STATES, ids=lambda state: state.name.replace(" ", "-")
)


@every_state
def test_state_is_named(
    state: State, report: Report, segment: tuple[Lab, dict[str, Place]]
) -> None:
    assert _found(report, segment[1][state.name], state) == state.expected


@every_state
def test_state_is_named_while_a_dispatcher_is_said_to_run(
    state: State, live_report: Report, segment: tuple[Lab, dict[str, Place]]
) -> None:
    """The same of the servers; of the segment, that the dispatcher is another or is missing."""
    expected: Expected = {}
    for (check, version), told in state.expected.items():
        if check is not Check.OTHERS:
            expected[check, version] = told
        elif told[1] is not Cause.DISPATCHER_RUNS:
            expected[check, version] = Verdict.WRONG, Cause.SEVERAL_DISPATCHERS
    runs = (Verdict.WRONG, Cause.DISPATCHER_RUNS) in state.expected.values()
    if not runs and Check.DISPATCHER not in state.ignored:
        for version in (4, 6):
            expected[Check.DISPATCHER, version] = Verdict.WRONG, Cause.DISPATCHER_SILENT
    place = segment[1][state.name]
    assert _found(live_report, place, state) == expected
    if runs:
        rows = _of(live_report, place, state.name)
        ports = [each for each in rows if each.check is Check.DISPATCHER and each.port]
        assert len(ports) == 2
        assert all(each.evidence[0].endswith(f": {state.name}") for each in ports)


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
