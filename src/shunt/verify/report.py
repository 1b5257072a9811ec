"""The report as data (JSON) and as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from shunt.verify import describe
from shunt.verify.findings import Cause, Check, Verdict, what, why
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
            "heard": sum(not event.sent for event in report.events),
            "malformed": report.malformed,
            "dropped": report.dropped,
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


def table(report: Report) -> Table:
    """Return one row per server, address and check."""
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("server", "address", "check", "verdict", "evidence"):
        drawn.add_column(name, overflow="fold")
    for finding in report.findings:
        style = _STYLE[finding.verdict]
        check = f"{finding.check} {finding.port}" if finding.port else str(finding.check)
        said = what(finding.cause) if finding.cause else "; ".join(finding.evidence)
        address = "" if finding.address is None else str(finding.address)
        drawn.add_row(
            escape(finding.server) or "-",
            address,
            check,
            f"[{style}]{finding.verdict}[/]",
            escape(said),
        )
    return drawn


def troubles(report: Report) -> Iterator[str]:
    """Yield, as rich markup, every cause once: what, where, the evidence, why, the fix."""
    grouped: dict[tuple[Cause, str], list[Finding]] = {}
    for finding in report.findings:
        if finding.cause is not None and finding.verdict is not Verdict.RIGHT:
            grouped.setdefault((finding.cause, finding.server), []).append(finding)
    for (cause, server), findings in grouped.items():
        style = _STYLE[findings[0].verdict]
        name = f"{server}: " if server else ""
        yield f"[{style}]{escape(name)}{what(cause)}[/]  [dim]({cause})[/]"
        yield f"  where: {escape(_places(findings))}"
        seen = dict.fromkeys(line for finding in findings for line in finding.evidence)
        yield from (f"  heard: {escape(line)}" for line in seen)
        yield f"  why it matters: {why(cause)}"
        lines = dict.fromkeys(line for finding in findings for line in fix(report.subject, finding))
        yield from (f"  fix: {escape(line)}" for line in lines)
        yield ""


def _places(findings: Iterable[Finding]) -> str:
    return ", ".join(
        f"{finding.check}"
        + (f" {finding.port}" if finding.port else "")
        + (f" of {finding.address}" if finding.address and finding.check not in _OWN_ALONE else "")
        for finding in findings
    )


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
