"""Where systemd-networkd keeps the aliases: for `lo` alone, whatever file `lo` shares."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError
from shunt.servers.drivers.linux import choice, facts, networkd, parse
from shunt.servers.drivers.linux.choice import Manager
from shunt.servers.drivers.linux.driver import DRIVER
from shunt.servers.drivers.linux.observed import Managers
from tests.servers.drivers.golden import FOLDER, load

if TYPE_CHECKING:
    from pathlib import Path

FOUR, SIX = ip_address("192.0.2.10"), ip_address("2001:db8::10")
ETC, USR, RUN = (f"{folder}/systemd/network" for folder in ("/etc", "/usr/lib", "/run"))


@pytest.mark.parametrize(
    "match",
    [
        "Name=lo",
        " Name = lo ",
        'Name="lo"',
        "Name=lo lo",
        "Name=eth0\nName=\nName=lo",
        "Name=eth0 \\\n  eth1\nName=\nName=lo",
        "Type=loopback",
        "Name=*\nType=loopback",
        "Name=lo\nVirtualization=kvm",
        "# Name=*\n; Name=*\nName=lo",
    ],
)
def test_a_match_of_lo_alone(match: str) -> None:
    assert networkd.only_loopback([f"[Match]\n{match}\n[Network]\nDHCP=no\n"])


@pytest.mark.parametrize(
    "match",
    [
        "Name=*",
        "Name=l*",
        "Name=lo*",
        "Name=l[o]",
        "Name=l?",
        "Name=lo eth0",
        "Name=lo\nName=eth0",
        "Name=!eth0",
        "Name=!lo",
        "Name=lo \\\n  eth1",
        "Type=loopback ether",
        "Type=!ether",
        "Type=ether",
        "Name=",
        "",
        "MACAddress=00:00:00:00:00:00",
        "Name=lo\n[Match]\nName=*",
    ],
)
def test_a_match_that_others_may_fulfil(match: str) -> None:
    assert not networkd.only_loopback([f"[Match]\n{match}\n[Network]\nDHCP=no\n"])


def test_drop_ins_count_and_other_sections_do_not() -> None:
    own, shared = "[Match]\nName=lo\n", "[Match]\nName=*\n"
    assert not networkd.only_loopback([own, shared])
    assert networkd.only_loopback([shared, "[Match]\nName=\nName=lo\n"])
    assert networkd.only_loopback([own, "[Link]\nName=*\n[Route]\nType=blackhole\n"])


def managers(used: str | None, *texts: str) -> Managers:
    return Managers(systemd=True, networkd=True, networkd_file=used, networkd_texts=texts)


@pytest.mark.parametrize(
    ("used", "text", "path"),
    [
        (None, "", f"{ETC}/10-shunt-lo.network"),
        (f"{ETC}/05-lo.network", "[Match]\nName=lo\n", f"{ETC}/05-lo.network.d/50-shunt.conf"),
        (f"{USR}/80-lo.network", "[Match]\nName=lo\n", f"{ETC}/80-lo.network.d/50-shunt.conf"),
        (f"{USR}/80-all.network", "[Match]\nName=*\n", f"{ETC}/10-shunt-lo.network"),
        (f"{ETC}/10-all.network", "[Match]\nName=*\n", f"{ETC}/05-shunt-lo.network"),
        (f"{RUN}/10-netplan-all.network", "[Match]\nName=*\n", f"{ETC}/05-shunt-lo.network"),
        (f"{ETC}/05-all.network", "[Match]\nName=*\n", f"{ETC}/00-shunt-lo.network"),
        (f"{ETC}/00-all.network", "[Match]\nName=*\n", f"{ETC}/0-shunt-lo.network"),
        (f"{ETC}/-all.network", "[Match]\nName=*\n", f"{ETC}/+shunt-lo.network"),
        (f"{ETC}/!all.network", "[Match]\nName=*\n", None),
        (f"{ETC}/00-shunt-lo.network", "[Match]\nName=lo\n", f"{ETC}/00-shunt-lo.network"),
    ],
)
def test_the_file_is_one_that_lo_gets_and_nothing_else(
    used: str | None, text: str, path: str | None
) -> None:
    found = networkd.path(managers(used, *([text] if used else [])))
    assert found == path
    if path in networkd.OWN and used and used != path:
        names = [file.rsplit("/", 1)[1].encode() for file in (path, used)]
        assert names == sorted(names)  # the first name that matches wins


SHARED = """\
# for all
[Match]
Name=*
[Network]
LLMNR=no
[Route]
Destination=198.51.100.0/24
Type=blackhole
[Route]
Destination=203.0.113.0/24
Type=blackhole
"""
DROP_IN = "[Match]\nName=!tun0\n[Network]\nDomains=example.org\n"


def test_lo_keeps_what_it_had_from_the_shared_file() -> None:
    who = managers(f"{USR}/80-all.network", SHARED, DROP_IN)
    text = networkd.text(who, (FOUR, SIX))
    assert networkd.only_loopback([text])
    for line in (*SHARED.splitlines()[3:], "Domains=example.org"):
        assert line in text.splitlines()
    assert text.count("[Route]") == 2
    assert "KeepConfiguration" not in text
    assert text.endswith(f"Address={FOUR}/32\nScope=host\n\n[Address]\nAddress={SIX}/128\n"
                         "PreferredLifetime=0\n")  # fmt: skip
    # Once networkd has read it, this is the file of lo: it stays what it is.
    again = managers(networkd.path(who), f"# head\n{text}")
    assert networkd.text(again, (FOUR, SIX)) == text
    assert networkd.text(again, (SIX,)) == networkd.text(who, (SIX,))


def test_where_no_name_comes_first_the_unit_does_it() -> None:
    case = load(FOLDER / "linux" / "networkd-catch-all.yaml")
    host = DRIVER.observe(case.wish, case.outputs)
    who = replace(host.managers, networkd_file=f"{ETC}/!all.network")
    assert choice.manager(replace(host, managers=who), case.wish) is Manager.UNIT


@pytest.mark.parametrize("name", ["lo", "*"])
@pytest.mark.parametrize(
    ("link", "left"),
    [
        ("Unmanaged=yes", True),
        ("Unmanaged = True", True),
        ("ActivationPolicy=always-down", True),
        ("ActivationPolicy=manual", True),
        ("Unmanaged=no", False),
        ("Unmanaged=yes\nUnmanaged=no", False),
        ("ActivationPolicy=up", False),
        ("[Network]\nUnmanaged=yes", False),
    ],
)
def test_where_networkd_leaves_lo_alone_the_unit_does_it(name: str, link: str, left: bool) -> None:
    case = load(FOLDER / "linux" / "networkd-catch-all.yaml")
    host = DRIVER.observe(case.wish, case.outputs)
    text = f"[Match]\nName={name}\n[Link]\n{link}\n"
    for file in (f"{ETC}/99-rest.network", f"{RUN}/10-netplan-lo.network", networkd.OWN[0]):
        who = replace(host.managers, networkd_file=file, networkd_texts=(text,))
        assert (networkd.path(who) is None) is left
        for netplan in (True, False):
            found = choice.manager(replace(host, managers=replace(who, netplan=netplan)), case.wish)
            assert (found is Manager.UNIT) is left


@pytest.mark.parametrize(
    ("used", "text", "manager"),
    [
        (None, "", Manager.NETPLAN),
        (f"{RUN}/10-netplan-lo.network", "[Match]\nName=lo\n", Manager.NETPLAN),
        (f"{RUN}/10-netplan-lo.network", "[Match]\nName=*\n", Manager.NETWORKD),
        (f"{RUN}/10-netplan-id0.network", "[Match]\nName=*\n", Manager.NETWORKD),
        (f"{RUN}/10-netplan-loop.network", "[Match]\nName=lo\n", Manager.NETWORKD),
        (f"{ETC}/05-lo.network", "[Match]\nName=lo\n", Manager.NETWORKD),
        (f"{ETC}/05-shunt-lo.network", "[Match]\nName=lo\n", Manager.NETWORKD),
    ],
)
def test_netplan_keeps_it_only_where_lo_gets_netplans_file(
    used: str | None, text: str, manager: Manager
) -> None:
    """An id `lo` of netplan may have a `match` of its own, and be every NIC."""
    case = load(FOLDER / "linux" / "clean-netplan.yaml")
    host = DRIVER.observe(case.wish, case.outputs)
    texts = (text,) if used else ()
    who = replace(host.managers, networkd_file=used, networkd_texts=texts)
    assert choice.manager(replace(host, managers=who), case.wish) is manager


def _asked(root: Path, used: str) -> list[str]:
    """Return what the very question says, with files below `root` and tools that say `used`."""
    (asked,) = (fact.command.text for fact in facts.facts([]) if fact.name == "managers")
    for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"):
        asked = asked.replace(f" {folder}", f" {root}{folder}")
    for name, text in {
        "systemctl": "case $2 in systemd-networkd) echo active ;; *) echo inactive ;; esac",
        "networkctl": f"echo '   Link File: n/a'; echo '             Network File: {used}'",
    }.items():
        tool = root / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    (root / "run/systemd/system").mkdir(parents=True, exist_ok=True)
    env = {"PATH": f"{root / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", asked], env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[:-1]


def test_the_question_brings_the_file_and_its_drop_ins_as_they_are_read(tmp_path: Path) -> None:
    """By their names, whatever their folder; one of a name hides those in later folders."""
    used = tmp_path / "usr/lib/systemd/network/80-all.network"
    written = {
        used: "[Match]\nName=*\n",
        tmp_path / "etc/systemd/network/80-all.network.d/90-late.conf": "late",
        tmp_path / "etc/systemd/network/80-all.network.d/50-shunt.conf": "ours",
        tmp_path / "usr/lib/systemd/network/80-all.network.d/10-early.conf": "early",
        tmp_path / "usr/lib/systemd/network/80-all.network.d/90-late.conf": "hidden",
        tmp_path / "etc/systemd/network/70-other.network.d/10-other.conf": "other",
    }
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = parse._managers(_asked(tmp_path, str(used)))
    assert found.networkd_file == str(used)
    assert found.networkd_texts == ("[Match]\nName=*\n", "early", "late")
    assert parse._managers(_asked(tmp_path, "n/a")).networkd_file is None


def test_a_file_whose_text_did_not_come_is_not_guessed_at() -> None:
    with pytest.raises(ParseError, match="text of systemd-networkd's file"):
        parse._managers(["networkd=yes", "networkd-file=/etc/systemd/network/05-lo.network"])
