"""FreeBSD: aliases that people keep in rc.conf in one variable stay, whatever Shunt corrects."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from shunt.servers.drivers.freebsd import DRIVER
from shunt.servers.drivers.unix.observed import Host
from shunt.servers.steps import Plan, Severity
from shunt.servers.wish import Wish

from .golden import CASES

CLUSTERS = (ip_address("192.0.2.10"), ip_address("192.0.2.11"))
LIST = "ifconfig_lo0_aliases"


def plan(line: str) -> Plan:
    done = next(c for c in CASES if c.id == "freebsd/done")
    wish = Wish(done.wish.server, CLUSTERS)
    host: Host = DRIVER.observe(done.wish, done.outputs)
    kept = Host(settings=host.settings, listings=host.listings, kept=frozenset({line}))
    steps = tuple(s for s in DRIVER.plan(kept, wish).steps if s.id.startswith("keep:"))
    return Plan(steps, DRIVER.plan(kept, wish).findings)


@pytest.mark.parametrize(
    "line",
    [
        f'{LIST}="inet 192.0.2.10/32 inet 192.0.2.11/32 inet 198.51.100.7/32"',
        f'{LIST}="inet 192.0.2.10 netmask 255.255.255.255 inet 192.0.2.11 netmask 0xffffffff"',
        f'{LIST}="inet 192.0.2.9-12/24"',
        f'{LIST}="inet 192.0.2.10-11/32 inet6 2001:db8::10/64"',
        'ipv4_addrs_lo0="192.0.2.10/32 192.0.2.11/32 198.51.100.7/32"',
        'ifconfig_lo0_alias0="inet 192.0.2.10/32 inet 192.0.2.11/32"',
    ],
)
def test_what_is_kept_in_a_list_is_left_alone(line: str) -> None:
    assert plan(line).steps == ()


@pytest.mark.parametrize(
    ("line", "right"),
    [
        (
            f'{LIST}="inet 192.0.2.10/24 inet 198.51.100.7/24 inet 192.0.2.11/24"',
            f"'{LIST}=inet 192.0.2.10/32 inet 198.51.100.7/24 inet 192.0.2.11/32'",
        ),
        (
            'ipv4_addrs_lo0="192.0.2.10/24 198.51.100.7/32 192.0.2.11/32"',
            "'ipv4_addrs_lo0=192.0.2.10/32 198.51.100.7/32 192.0.2.11/32'",
        ),
    ],
)
def test_a_wide_mask_is_corrected_among_the_others(line: str, right: str) -> None:
    (step,) = plan(line).steps
    name, _, before = line.partition("=")
    assert step.do[0].text == f"sysrc {right}"
    assert f"sysrc '{name}={before.strip(chr(34))}'" in step.undo[0].text
    settled = right.strip("'").replace("=", '="') + '"'
    assert plan(settled).steps == ()


def test_the_first_of_a_range_with_a_wide_mask_is_named() -> None:
    found = plan(f'{LIST}="inet 192.0.2.10-11/24"')
    assert found.steps == ()
    (finding,) = (f for f in found.findings if f.severity is Severity.ERROR)
    assert "192.0.2.10" in finding.what


def test_an_address_within_another_is_not_named() -> None:
    ids = {step.id for step in plan(f'{LIST}="inet 192.0.2.100/32 inet 192.0.2.1/32"').steps}
    assert ids == {"keep:192.0.2.10", "keep:192.0.2.11"}
