"""The report as data (JSON) and as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from shunt.verify import describe, grouped
from shunt.verify.findings import Check, Verdict, what, why
from shunt.verify.fixes import fix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shunt.verify.examine import Report
    from shunt.verify.findings import Finding

_STYLE = {
    Verdict.RIGHT: "green",
    Verdict.WARNING: "yellow",
    Verdict.ACCEPTED: "cyan",
    Verdict.WRONG: "bold red",
    Verdict.UNKNOWN: "yellow",
}
_FRAMES_A_PHASE = 60
_LINES = 8  # of the same kind; a hundred equal servers have as many
_PAGE = {
    "control": "The page: ping the server, look up its MAC with arp -a.",
    "silence": "The page: arp -d, then ping the cluster: there should be no response.",
    "answers": "The page: arp -s CLUSTER MAC; a ping should get a response, a request should work.",
    "doubts": "Not in the page: the causes of what went wrong are told apart.",
    "silence again": "The page: arp -d, ping the cluster: again there should be no response.",
}
_OWN_ALONE = {Check.OWN, Check.HEARD, Check.VERIFIER}

JsonValue = Mapping[str, "JsonValue"] | Sequence["JsonValue"] | str | int | float | bool | None
Json = dict[str, JsonValue]


def as_json(report: Report) -> Json:
    """Return the report as a JSON document; names of checks, verdicts and causes are stable."""
    return {
        "exit_code": report.exit_code,
        "interface": report.interface,
        "mac": str(report.identity.mac),
        "borrowed": [str(address) for address in report.identity.borrowed.values()],
        "seconds": round(report.seconds, 3),
        "frames": {
            "sent": sum(event.sent for event in report.events),
            "heard": report.heard,
            "malformed": report.malformed,
            "dropped": report.dropped,
            "unkept": report.unkept,
        },
        "left_out": list(report.left_out),
        "findings": [_finding_as_json(report, finding) for finding in report.findings],
    }


def _finding_as_json(report: Report, finding: Finding) -> Json:
    cause = finding.cause
    return {
        "check": str(finding.check),
        "server": finding.server or None,
        "address": None if finding.address is None else str(finding.address),
        "port": None if finding.port is None else str(finding.port),
        "verdict": str(finding.verdict),
        "cause": None if cause is None else str(cause),
        "what": None if cause is None else what(cause),
        "why": None if cause is None else why(cause),
        "evidence": list(finding.evidence),
        "fix": list(fix(report.subject, finding)),
    }


def table(report: Report, *, only_wrong: bool = False, every: bool = False) -> Table:
    """Return what there is to say of each server, and one row for all that is plainly right.

    Equal servers share their rows. `only_wrong` leaves out what is not wrong or untold; `every`
    shows each check of each server.
    """
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("server", "address", "check", "verdict", "evidence"):
        drawn.add_column(name, overflow="fold")
    if every:
        for finding in report.findings:
            if not (only_wrong and grouped.is_fine(finding)):
                _add(drawn, finding.server or grouped.SEGMENT, finding)
        return drawn
    for group in grouped.groups(report.findings):
        told = [each for each in group.remarkable if not (only_wrong and grouped.is_fine(each))]
        for finding in told:
            _add(drawn, group.name, finding)
        plain = [each for each in group.findings if each.cause is None]
        if plain and not only_wrong:
            said = ", ".join(dict.fromkeys(str(each.check) for each in plain))
            also = "" if not told else "else "
            number = len(plain) * len(group.servers)
            right = f"[{_STYLE[Verdict.RIGHT]}]{Verdict.RIGHT}[/]"
            drawn.add_row(escape(group.name), "", f"{also}{number} checks", right, said)
    return drawn


def _add(drawn: Table, servers: str, finding: Finding) -> None:
    check = f"{finding.check} {finding.port}" if finding.port else str(finding.check)
    said = what(finding.cause) if finding.cause else "; ".join(finding.evidence)
    verdict = f"[{_STYLE[finding.verdict]}]{finding.verdict}[/]"
    address = "" if finding.address is None else str(finding.address)
    drawn.add_row(escape(servers), address, check, verdict, escape(said))


def troubles(report: Report) -> Iterator[str]:
    """Yield, as rich markup, every cause once: what, where, the evidence, why, the fix."""
    for cause, verdict, findings in grouped.causes(report.findings):
        of: dict[str, list[Finding]] = {}
        for finding in findings:
            of.setdefault(finding.server, []).append(finding)
        name = "" if not any(of) else f"{grouped.names(tuple(of))}: "
        yield f"[{_STYLE[verdict]}]{escape(name)}{what(cause)}[/]  [dim]({cause})[/]"
        yield f"  where: {escape(_some(dict.fromkeys(map(_places, of.values())), '; '))}"
        seen = dict.fromkeys(line for finding in findings for line in finding.evidence)
        yield from _lines("heard", seen)
        yield f"  why it matters: {why(cause)}"
        fixes = dict.fromkeys(line for finding in findings for line in fix(report.subject, finding))
        yield from _lines("fix", fixes)
        yield ""


def _lines(title: str, lines: Iterable[str]) -> Iterator[str]:
    every = list(lines)
    yield from (f"  {title}: {escape(line)}" for line in every[:_LINES])
    if len(every) > _LINES:
        yield f"  {title}: and {len(every) - _LINES} more like these; --json has all of them"


def _some(texts: Iterable[str], between: str) -> str:
    every = list(texts)
    more = f"{between}and {len(every) - _LINES} more" if len(every) > _LINES else ""
    return between.join(every[:_LINES]) + more


def _places(findings: Iterable[Finding]) -> str:
    return ", ".join(
        f"{finding.check}"
        + (f" {finding.port}" if finding.port else "")
        + (f" of {finding.address}" if finding.address and finding.check not in _OWN_ALONE else "")
        for finding in findings
    )


def brief(report: Report) -> Iterator[str]:
    """Yield a line for each cause that is wrong or untold, nothing where all is right."""
    for cause, verdict, findings in grouped.causes(report.findings):
        if not grouped.is_fine(findings[0]):
            servers = tuple(dict.fromkeys(finding.server for finding in findings))
            yield f"{grouped.names(servers)}: {verdict}: {what(cause)} ({cause})"


def summary(report: Report) -> str:
    """Return the last line: counts and the verdict on the whole."""
    count = dict.fromkeys(Verdict, 0)
    for finding in report.findings:
        count[finding.verdict] += 1
    sent = sum(event.sent for event in report.events)
    parts = ", ".join(f"{number} {verdict}" for verdict, number in count.items() if number)
    return f"{parts}; {sent} frames sent in {report.seconds:.1f} s from {report.interface}"


def explanation(report: Report) -> Iterator[str]:
    """Yield the procedure step by step as rich markup, with what was sent and heard."""
    shown: set[str] = set()
    for phase in report.phases:
        if phase.name in shown:
            continue
        shown.add(phase.name)
        yield f"[bold]{phase.name}[/]: {phase.title}"
        yield f"  [dim]{_PAGE[phase.name]}[/]"
        events = [event for event in report.events if event.phase == phase.name]
        begin = events[0].at if events else 0.0
        for event in events[:_FRAMES_A_PHASE]:
            arrow = "→" if event.sent else "←"
            yield f"  {event.at - begin:7.3f} s {arrow} {escape(describe.line(event.parsed))}"
        if len(events) > _FRAMES_A_PHASE:
            more = len(events) - _FRAMES_A_PHASE
            yield f"  ... and {more} frames more; --pcap FILE keeps all of them"
        yield ""
