"""Equal servers are told once; what is wrong stands out; scripts get one line or none."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from rich.console import Console

from shunt.cli.output import Output
from shunt.cli.verify import _show
from shunt.model.addresses import Mac
from shunt.verify import grouped, report
from shunt.verify.examine import Report
from shunt.verify.findings import Cause, Check, Finding, Verdict
from shunt.verify.subject import Cluster, Examined, Identity, Subject

CLUSTER = ip_address("192.0.2.10")


def _server(number: int, **silence: object) -> tuple[Finding, ...]:
    name, own = f"s{number}", ip_address(f"198.18.0.{number}")
    right = Verdict.RIGHT
    return (
        Finding(Check.OWN, name, own, right, evidence=(f"{own} is somewhere",)),
        replace(Finding(Check.SILENCE, name, CLUSTER, right), **silence),  # type: ignore[arg-type]
        Finding(Check.PING, name, CLUSTER, right, evidence=(f"echo reply from s{number}",)),
    )


_ANSWERS = {"verdict": Verdict.WRONG, "cause": Cause.ANSWERS_ARP}
_SEGMENT = (Finding(Check.OTHERS, "", CLUSTER, Verdict.RIGHT),)


def _report(*findings: Finding) -> Report:
    servers = {f"s{n}": Examined(f"s{n}", (ip_address(f"198.18.0.{n}"),)) for n in range(1, 101)}
    subject = Subject(servers, (Cluster("web", CLUSTER, tuple(servers)),))
    mac = Mac.parse("02:00:00:00:00:99")
    return Report(subject, Identity(mac), "eth0", findings, (), (), (), 1.0, 0, 0, 0, 0)


def _rows(result: Report, **how: bool) -> list[str]:
    console = Console(width=160, record=True, quiet=False)
    with console.capture() as captured:
        console.print(report.table(result, **how))
    return [line.rstrip() for line in captured.get().splitlines()[1:]]


def test_a_hundred_right_servers_are_one_row() -> None:
    rows = _rows(_report(*(f for n in range(1, 101) for f in _server(n)), *_SEGMENT))
    assert len(rows) == 2
    assert rows[0].startswith("s1, s2, s3, s4, s5, s6 and 94 more")
    assert "300 checks" in rows[0]
    assert rows[1].startswith(grouped.SEGMENT)


def test_who_differs_has_rows_of_its_own() -> None:
    findings = (*_server(1), *_server(2, **_ANSWERS), *_server(3), *_server(4, **_ANSWERS))
    rows = _rows(_report(*findings))
    assert [row.split("  ")[0] for row in rows] == ["s1, s3", "s2, s4", "s2, s4"]
    assert "answers ARP" in rows[1]
    assert "else 4 checks" in rows[2]
    (only,) = _rows(_report(*findings), only_wrong=True)
    assert only.startswith("s2, s4")
    assert len(_rows(_report(*findings), every=True)) == len(findings)


def test_a_cause_is_told_once_with_every_server_that_has_it() -> None:
    result = _report(*(f for n in range(1, 41) for f in _server(n, **_ANSWERS)))
    lines = list(report.troubles(result))
    assert lines[0].count("s1, s2, s3, s4, s5, s6 and 34 more: ") == 1
    assert len(lines) < 20
    assert any(line.endswith("--json has all of them") for line in lines)


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ((*_server(1), *_SEGMENT), []),
        (
            (*_server(1), *_server(2, **_ANSWERS)),
            ["s2: wrong: the server answers ARP for the cluster address (answers-arp)"],
        ),
        (_server(3, verdict=Verdict.WARNING, cause=Cause.FORWARDS), []),
    ],
)
def test_quiet_says_what_is_not_right_and_nothing_else(
    findings: tuple[Finding, ...], said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _show(Output(), _report(*findings), ("web: x",), explain=False, only_wrong=False, quiet=True)
    told = capsys.readouterr()
    assert told.out.splitlines() == said
    assert told.err == ""


@pytest.mark.parametrize("verdict", [Verdict.WARNING, Verdict.ACCEPTED])
def test_a_warning_is_shown_and_leaves_with_0(verdict: Verdict) -> None:
    result = _report(*_server(1, verdict=verdict, cause=Cause.FORWARDS))
    assert result.exit_code == 0
    assert any(str(verdict) in row for row in _rows(result))
    assert list(report.troubles(result))
    assert report.as_json(result)["findings"][1]["verdict"] == str(verdict)  # type: ignore[index, call-overload]
