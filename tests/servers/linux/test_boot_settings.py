"""Which lines of sysctl files speak against the wanted settings, and which ones are asked for."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shunt.servers.drivers.linux import facts
from shunt.servers.steps import Output, Severity
from tests.servers.drivers.golden import FOLDER, load

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.servers.steps import Plan

DONE = load(FOLDER / "linux" / "done.yaml")
EARLY, LATER, CONF = "/usr/lib/sysctl.d/50-a.conf", "/run/sysctl.d/99-zzz.conf", "/etc/sysctl.conf"
ALL = "net.ipv4.conf.all.arp_ignore"
NIC = "net.ipv4.conf.eth0.arp_ignore"
EVERY = "net.ipv4.conf.*.arp_ignore"
ERROR, WARNING = Severity.ERROR, Severity.WARNING


def _plan(*lines: str) -> Plan:
    settings = Output("\n".join([*lines, "end", ""]))
    return DONE.plan(DONE.outputs | {"settings": settings})


@pytest.mark.parametrize(
    ("lines", "severity"),
    [
        ((f"{EARLY}:{ALL} = 0",), None),
        ((f"{LATER}:{ALL} = 0",), ERROR),
        ((f"{LATER}:-{ALL} = 0",), ERROR),
        ((f"{LATER}:{ALL} = 2",), None),  # silent as well
        ((f"{LATER}:-{ALL}",), ERROR),  # not set at all
        ((f"{EARLY}:-{ALL}",), None),
        ((f"{LATER}:{ALL} = 0", f"{LATER}:{ALL} = 1"), None),  # the last one counts
        ((f"{LATER}:{ALL} = 1", f"{LATER}:{ALL} = 0"), ERROR),
        ((f"/etc/sysctl.d/zz.conf:{ALL} = 1", f"{LATER}:{ALL} = 0"), None),  # zz is after 99
        ((f"{CONF}:{ALL} = 0",), WARNING),
        ((f"{LATER}:net.ipv4.conf.all.arp_announce = 1",), ERROR),
        ((f"{LATER}:net.ipv4.conf.all.rp_filter = 1",), None),  # not Shunt's
        # A pattern does not reach what a line names, and 0 on a NIC does not make `all` answer.
        ((f"{LATER}:{EVERY} = 0",), None),
        ((f"{EARLY}:{EVERY} = 3",), ERROR),
        ((f"{EARLY}:{EVERY} = 3", f"{EARLY}:-{NIC}"), WARNING),  # `default` still
        ((f"{EARLY}:{EVERY} = 3", f"{EARLY}:net.ipv4.conf.eth?.arp_ignore = 1"), WARNING),
        ((f"{EARLY}:net.ipv4.*.arp_ignore = 3",), None),  # a * is one part
        ((f"{EARLY}:{NIC} = 3",), ERROR),
        ((f"{EARLY}:{NIC} = 3", f"{LATER}:{NIC} = 1"), None),
        ((f"{EARLY}:net.ipv4.conf.eth9.arp_ignore = 3",), None),
        ((f"{EARLY}:net.ipv4.conf.default.arp_ignore = 4",), WARNING),
    ],
)
def test_what_speaks_against_silence_at_boot(
    lines: tuple[str, ...], severity: Severity | None
) -> None:
    with_four = tuple(line.replace("= 3", "= 4") for line in lines)  # 3 is fine with scope host
    found = _plan(*with_four).findings
    assert max((f.severity for f in found), default=None) == severity
    assert _plan(*with_four).settled is (severity is not ERROR)


def test_an_alias_is_not_kept_where_silence_is_not() -> None:
    clean = load(FOLDER / "linux" / "clean.yaml")
    settings = Output(f"{LATER}:{ALL} = 0\nend\n")
    ids = {s.id for s in clean.plan(clean.outputs | {"settings": settings}).steps}
    assert "alias:192.0.2.10" in ids
    assert not any(i.startswith("persist:") for i in ids)
    passing = replace(clean, wish=replace(clean.wish, persist=False))
    assert not passing.plan(clean.outputs | {"settings": settings}).findings


def test_files_are_asked_for_the_lines_that_matter(tmp_path: Path) -> None:
    """By the very script, in a tree of its own: comments, hidden files, other keys are left out."""
    texts = {
        "usr/lib/sysctl.d/50-default.conf": f"# {ALL} = 9\n-{ALL}\n{EVERY}=1\nkernel.x = 1\n",
        "lib/sysctl.d/50-default.conf": f"{ALL} = 5\n",
        "usr/lib/sysctl.d/60-hidden.conf": f"{ALL} = 6\n",
        "run/sysctl.d/60-hidden.conf": "",
        "etc/sysctl.d/70.conf": "  net/ipv4/conf/eth0.5/arp_announce=0\nnet.ipv4.conf.*.rp_* = 1\n"
        "net.ipv4.ip_forward = 1\nnet.ipv4.conf.*.accept_source_route = 0\n",
        "etc/sysctl.d/70.txt": f"{ALL} = 7\n",
        "etc/sysctl.conf": f"{ALL} = 8\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (asked,) = (fact.command.text for fact in facts.facts([]) if fact.name == "settings")
    told = subprocess.run(
        ["sh", "-c", asked.replace(" /", f" {tmp_path}/")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stderr == ""
    assert told.stdout.replace(f"{tmp_path}", "").splitlines() == [
        "/etc/sysctl.d/70.conf:  net/ipv4/conf/eth0.5/arp_announce=0",
        "/etc/sysctl.d/70.conf:net.ipv4.conf.*.rp_* = 1",
        f"/usr/lib/sysctl.d/50-default.conf:-{ALL}",
        f"/usr/lib/sysctl.d/50-default.conf:{EVERY}=1",
        f"/etc/sysctl.conf:{ALL} = 8",
        "end",
    ]
