"""The reference of all steps, made from the drivers themselves.

`python -m shunt.servers.reference > docs/servers/steps.md` renews it; a test compares.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.model.config import Forward, OperatingSystem, Server
from shunt.servers.drivers.registry import driver_for
from shunt.servers.wish import Silence, Wish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.servers.steps import Command, Plan, Step

_HEAD = """\
# Every step, on every system

Made from the drivers by `python -m shunt.servers.reference`; do not edit. Each list is what a host
as delivered needs to become a server of 192.0.2.10 and 2001:db8::10. What undoes a step depends on
what was there before: here, nothing was.
"""
_FOUR, _SIX = ip_address("192.0.2.10"), ip_address("2001:db8::10")
_ONLY_IPV4 = frozenset({OperatingSystem.AIX_WPAR, OperatingSystem.WINDOWS2003})


def reference() -> str:
    """Return the reference as Markdown."""
    parts = [_HEAD]
    for system in OperatingSystem:
        wish = _wish(system)
        parts += _section(system, wish)
        if system is OperatingSystem.LINUX:
            for silence in (Silence.NFT, Silence.ARPTABLES, Silence.REDIRECT):
                parts += _section(f"linux, --silence {silence}", replace(wish, silence=silence))
            encap = replace(wish, forward=Forward.ENCAP)
            parts += _section("linux, services of kind encap", encap)
    return "\n".join(parts)


def _wish(system: OperatingSystem) -> Wish:
    server = Server(
        "server",
        (ip_address("192.0.2.21"),),
        os=system,
        wpar="app1" if system is OperatingSystem.AIX_WPAR else None,
        gateway=ip_address("192.0.2.1"),
    )
    return Wish(server, (_FOUR,) if system in _ONLY_IPV4 else (_FOUR, _SIX))


def _section(title: str, wish: Wish) -> Iterator[str]:
    driver = driver_for(wish.server.os)
    plan: Plan = driver.plan(driver.unseen(wish), wish)
    yield f"## {title}\n"
    for number, step in enumerate(plan.steps, 1):
        yield from _step(number, step)
    for finding in plan.findings:
        fix = f" To do: {finding.fix}." if finding.fix else ""
        yield f"*{finding.severity.name.lower()}*: {finding.what}. {finding.why}.{fix}\n"


def _step(number: int, step: Step) -> Iterator[str]:
    yield f"### {number}. {step.what}\n"
    yield f"Why: {step.why}." + (f" {step.note}." if step.note else "") + "\n"
    yield "```"
    for title, commands in (("do", step.do), ("check", step.check), ("undo", step.undo)):
        yield f"# {title}"
        for command in commands:
            yield from _lines(command)
    yield "```\n"


def _lines(command: Command) -> Iterator[str]:
    if command.file and command.stdin is not None:
        yield f"write {command.file}:"
    else:
        yield command.text
    if command.stdin is not None:
        yield from (f"  | {line}" for line in command.stdin.splitlines())


if __name__ == "__main__":
    sys.stdout.write(reference())  # noqa: TID251 - a tool of this house, with words of its own
