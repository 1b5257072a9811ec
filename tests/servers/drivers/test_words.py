"""The shell words at work: files and listings made up, the commands real."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.model.config import OperatingSystem
from shunt.servers import bundle, record
from shunt.servers.drivers import freebsd, hpux, solaris10
from shunt.servers.drivers.registry import driver_for
from shunt.servers.drivers.unix import boot, words
from shunt.servers.record import Record
from shunt.servers.routes.recognise import read

from ..bourne import NOT_BOURNE  # noqa: TID252  # a sibling of this folder
from ..routes.captures import CAPTURES, Capture  # noqa: TID252  # a sibling folder of test data
from .golden import CASES, Case

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.servers.steps import Command, Step

CLUSTER = ip_address("192.0.2.10")
LINE = "inet alias 192.0.2.10 255.255.255.255"


@dataclass
class Host:
    """A folder of files, and of programs that play a system's own."""

    root: Path

    def program(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, command: Command, *moves: tuple[str, str]) -> bool:
        text = command.text
        for before, after in moves:
            text = text.replace(before, after)
        done = subprocess.run(
            ["dash", "-c", text],
            input=command.stdin or "",
            text=True,
            check=False,
            cwd=self.root,
            env={"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"},
        )
        return done.returncode == 0

    def cycle(self, step: Step, *moves: tuple[str, str]) -> None:
        """Not done, done, done again, undone, undone again."""

        def checked() -> bool:
            return all(self.run(command, *moves) for command in step.check)

        assert not checked()
        for _ in range(2):
            assert all(self.run(command, *moves) for command in step.do)
            assert checked()
        for _ in range(2):
            assert all(self.run(command, *moves) for command in step.undo)
            assert not checked()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize("before", [None, "", "# mine\ninet 127.0.0.1\n", f"x {LINE}\n{LINE} y\n"])
def test_a_line_comes_and_goes_and_leaves_the_rest(host: Host, before: str | None) -> None:
    file = host.root / "hostname.lo0"
    if before is not None:
        file.write_text(before)
    add, drop = words.add_line(str(file), LINE), words.drop_line(str(file), LINE)
    for _ in range(2):
        assert host.run(add)
        start = f"{words.MARK}\n" if before is None else before
        assert file.read_text() == start + LINE + "\n"
    for _ in range(2):
        assert host.run(drop)
        assert list(host.root.iterdir()) == ([] if before is None else [file])
        assert before is None or file.read_text() == before


def test_a_file_that_somebody_wrote_to_stays(host: Host) -> None:
    file = host.root / "sysctl.conf"
    assert host.run(words.add_line(str(file), LINE))
    file.write_text(file.read_text() + "mine=1\n")
    assert host.run(words.drop_line(str(file), LINE))
    assert file.read_text() == f"{words.MARK}\nmine=1\n"


UNIX = ("aix", "freebsd", "hpux", "macos", "netbsd", "openbsd", "solaris-verbose")


@pytest.mark.parametrize(
    "capture", [c for c in CAPTURES if c.name.startswith(UNIX)], ids=lambda c: c.name
)
def test_a_row_is_found_in_the_listing_it_came_from(host: Host, capture: Capture) -> None:
    """The check of a deletion sees the row, wrapped or not, and does not see it elsewhere."""
    (host.root / "listing").write_text(capture.text)
    for extra, _ in capture.answer().extras:
        assert host.run(words.when(words.listed(extra.route, "cat listing"), "touch seen"))
        assert (host.root / "seen").exists()
        (host.root / "seen").unlink()
        gone = "grep -v " + shlex.quote(str(extra.route.written)) + " listing"
        assert host.run(words.false_is_right(words.listed(extra.route, gone)))


@pytest.mark.parametrize(
    ("shown", "host_mask"),
    [
        ("\tinet 192.0.2.10 netmask 0xffffffff", True),
        ("\tinet 192.0.2.10 netmask ffffffff", True),
        ("\tinet 192.0.2.10/32 flags 0", True),
        ("\tinet 192.0.2.10 netmask 0xffffff00", False),
        ("\tinet 192.0.2.100 netmask 0xffffffff", False),
        ("\tinet 192.0.2.10/3", False),
        ("\tinet 192x0.2.10/32", False),
    ],
)
def test_an_alias_is_seen_under_the_right_mask_only(
    host: Host, shown: str, host_mask: bool
) -> None:
    (host.root / "shown").write_text(f"lo0: flags=1\n{shown}\n")
    check = words.when(words.shown(CLUSTER, "cat shown"), "exit 7")
    assert host.run(check) is not host_mask


SYSRC = r"""
file=rc.conf; touch $file
case $1 in
-n) v=`sed -n "s/^$2=\"\(.*\)\"$/\1/p" $file`; test -n "$v" || exit 1; echo "$v" ;;
-ae) cat $file ;;
-x) grep -v "^$2=" $file > new; mv new $file ;;
*) name=`echo "$1" | cut -d= -f1`; value=`echo "$1" | cut -d= -f2-`
   grep -v "^$name=" $file > new; echo "$name=\"$value\"" >> new; mv new $file ;;
esac
"""


def test_freebsd_numbers_aliases_without_gaps(host: Host) -> None:
    host.program("sysrc", SYSRC)
    rc = host.root / "rc.conf"
    rc.write_text('ifconfig_lo0_alias0="inet 127.0.0.2/32"\n')
    one, two = (freebsd._rc(ip_address(text)) for text in ("192.0.2.10", "192.0.2.11"))
    host.cycle(one)
    assert rc.read_text() == 'ifconfig_lo0_alias0="inet 127.0.0.2/32"\n'
    for step in (one, two):
        assert all(host.run(command) for command in step.do)
    assert 'ifconfig_lo0_alias2="inet 192.0.2.11 netmask 255.255.255.255"' in rc.read_text()
    assert all(host.run(command) for command in one.undo)
    assert sorted(rc.read_text().splitlines()) == [
        'ifconfig_lo0_alias0="inet 127.0.0.2/32"',
        'ifconfig_lo0_alias1="inet 192.0.2.11 netmask 255.255.255.255"',
    ]


def test_hpux_takes_the_next_number_of_netconf(host: Host) -> None:
    conf = host.root / "netconf"
    before = (
        'HOSTNAME="web"\nINTERFACE_NAME[0]="lan0"\nIP_ADDRESS[0]="192.0.2.21"\n'
        'SUBNET_MASK[0]="255.255.255.0"\n'
    )
    conf.write_text(before)
    host.program("netstat", "echo 'Name Mtu Network Address'; echo 'lo0:1 4136 none 192.0.2.10'")
    move = ("/etc/rc.config.d/netconf", str(conf))
    host.cycle(hpux._netconf(CLUSTER), move)
    assert conf.read_text() == before
    assert all(host.run(command, move) for command in hpux._netconf(CLUSTER).do)
    assert conf.read_text() == before + (
        "INTERFACE_NAME[1]=lo0:1\nIP_ADDRESS[1]=192.0.2.10\n"
        "SUBNET_MASK[1]=255.255.255.255\nINTERFACE_STATE[1]=up\n"
    )


def test_hpux_corrects_a_mask_in_netconf(host: Host) -> None:
    conf = host.root / "netconf"
    conf.write_text("IP_ADDRESS[1]=192.0.2.10\nSUBNET_MASK[1]=255.255.0.0\nSUBNET_MASK[11]=1\n")
    host.cycle(hpux._mask(CLUSTER, "1", "255.255.0.0"), ("/etc/rc.config.d/netconf", str(conf)))
    assert "SUBNET_MASK[1]=255.255.0.0\n" in conf.read_text()
    assert "SUBNET_MASK[11]=1\n" in conf.read_text()


def test_solaris_takes_the_next_free_file(host: Host) -> None:
    taken = host.root / "hostname.lo0:1"
    taken.write_text("192.0.2.99 netmask 255.255.255.255 up\n")
    move = ("/etc/hostname.lo0:", f"{host.root}/hostname.lo0:")
    host.cycle(solaris10._hostname(CLUSTER), move)
    assert all(host.run(command, move) for command in solaris10._hostname(CLUSTER).do)
    assert (host.root / "hostname.lo0:2").read_text() == ("192.0.2.10 netmask 255.255.255.255 up\n")
    assert taken.exists()


BOOT = [
    (OperatingSystem.AIX, "route delete -net 192.0.2/24 192.0.2.10"),
    (OperatingSystem.HP_UX, "route delete net 192.0.0.0 netmask 255.255.0.0 192.0.2.10"),
    (OperatingSystem.SOLARIS10, "route delete -net 192.0.0.0 192.0.2.10 -netmask 255.255.0.0"),
]


@pytest.mark.parametrize(("system", "command"), BOOT)
def test_the_boot_script_deletes_the_extra_route_and_no_other(
    host: Host, system: OperatingSystem, command: str
) -> None:
    """The script itself runs, over the listings of a wide mask and of a clean host."""
    for name, expected in (("wide-mask", command + "\n"), ("clean", "")):
        case = next(c for c in CASES if c.system is system and c.name == name)
        (host.root / "listing").write_text(case.outputs["routes4"].stdout)
        (step,) = (s for s in case.plan().steps if s.id == "keep:boot-script")
        script = step.do[0].stdin
        assert script is not None
        host.program("netstat", f"cat {host.root}/listing")
        host.program("ndd", ":")
        log = host.root / "log"
        log.write_text("")
        host.program("route", f'echo "route $*" >> {log}')
        (host.root / "boot").write_text(script)
        subprocess.run(
            ["dash", "boot"],
            check=True,
            cwd=host.root,
            env={"PATH": f"{host.root / 'bin'}:{os.environ['PATH']}"},
        )
        assert log.read_text() == expected


def test_the_boot_script_is_removed_whatever_it_says_by_now(host: Host) -> None:
    file = host.root / "shunt"
    host.cycle(boot.step(str(file), ["true one", "true two"], link=str(host.root / "S99shunt")))
    assert list(host.root.iterdir()) == []
    step = boot.step(str(file), ["true one"])
    assert all(host.run(command) for command in step.do)
    file.write_text(file.read_text() + "true three\n")
    assert all(host.run(command) for command in step.undo)
    assert not file.exists()
    file.write_text("#!/bin/sh\n# somebody else's\n")
    assert all(host.run(command) for command in step.undo)
    assert file.exists()


@pytest.mark.parametrize(
    "line", ["a=$(b)", "[ -e x ]", "test ! -e x", "if ! a", "a; ! b", "grep -q x", "echo ${a%b}"]
)
def test_what_a_bourne_shell_does_not_know_is_recognised(line: str) -> None:
    assert NOT_BOURNE.search(line)


@pytest.mark.parametrize(
    "case", [c for c in CASES if "windows" not in c.system], ids=lambda c: c.id
)
def test_what_surrounds_the_commands_is_for_a_bourne_shell_too(case: Case) -> None:
    """The record on the server, and the bundle in which the commands travel."""
    asked = [fact.command for fact in driver_for(case.system).facts(case.wish)]
    noted = record.write(case.wish, Record().with_steps(case.plan().steps))
    kept = [record.read(case.wish).command, noted, record.write(case.wish, Record())]
    text = bundle.script([*asked, *kept], "word", stop=True)
    assert not NOT_BOURNE.search(text), text


def test_captures_of_the_cases_are_read_as_their_system() -> None:
    for case in CASES:
        for name, output in case.outputs.items():
            if name.startswith("routes4"):
                assert read(output.stdout, case.system).routes


def test_hpux_leaves_netconf_whole_if_it_cannot_be_copied(host: Host) -> None:
    conf = host.root / "netconf"
    conf.write_text("IP_ADDRESS[1]=192.0.2.10\nSUBNET_MASK[1]=255.255.0.0\n")
    host.program("cp", "exit 1")
    (do,) = hpux._mask(CLUSTER, "1", "255.255.0.0").do
    assert not host.run(do, ("/etc/rc.config.d/netconf", str(conf)))
    assert conf.read_text() == "IP_ADDRESS[1]=192.0.2.10\nSUBNET_MASK[1]=255.255.0.0\n"
