"""Partitions of AIX: the commands and the script at work, over programs that play lswpar, chwpar.

The programs keep what they are told in files; what they print has the layout of the manual page.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem, Server
from shunt.servers.drivers.aix_wpar import DRIVER
from shunt.servers.scripts.writing import write_script
from shunt.servers.steps import Output
from shunt.servers.wish import Wish

from ..bourne import SHELLS  # noqa: TID252  # a sibling of this folder

if TYPE_CHECKING:
    from pathlib import Path

LSWPAR = r"""
test -f broken && { echo "lswpar: 0960-000 no" >&2; exit 1; }
case $1 in
-N) cat networks | if test $# = 2; then grep "^$2 "; else cat; fi; exit 0 ;;
-I) test -s routes || exit 1; echo "Name RTDest RTGateway"; cat routes ;;
-G) echo "WPAR-Specific Routing:   `cat routing`" ;;
esac
"""
CHWPAR = r"""
echo "chwpar $*" >> log
remove=no; for name in "$@"; do :; done
while test $# -gt 1; do
    case $1 in
    -K) remove=yes ;;
    -i) if test $remove = yes; then echo no > routing; else echo yes > routing; fi ;;
    rtgateway=*) gateway=`echo $1 | cut -d= -f2`
        if test $remove = yes; then grep -v " $gateway\$" routes > new; mv new routes
        else echo "$name default $gateway" >> routes; fi ;;
    address=*) address=`echo $1 | cut -d= -f2`
        grep -v "^$name lo0 $address " networks > new; mv new networks
        test $remove = yes || echo "$name lo0 $address 255.255.255.255 -" >> networks ;;
    esac
    shift
done
"""
NETWORKS = "app1 en0 192.0.2.31 255.255.255.0 -\napp1 lo0 127.0.0.1 255.0.0.0 -\n"


@dataclass
class Machine:
    """A hosting machine in a folder: its files, its programs."""

    root: Path
    shell: str

    def __post_init__(self) -> None:
        for name, text in (("lswpar", LSWPAR), ("chwpar", CHWPAR), ("netstat", "cat listing")):
            path = self.root / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\ncd {shlex.quote(str(self.root))}\n{text}")
            path.chmod(0o755)
        self.write(networks=NETWORKS, routing="no\n", routes="", log="")
        self.write(
            listing="Route tree for Protocol Family 2 (Internet):\n127/8 127.0.0.1 U 1 1 lo0 - -\n"
        )

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.root / name).write_text(text)

    def read(self, name: str) -> str:
        return (self.root / name).read_text()

    def run(self, *argv: str) -> Output:
        path = f"{self.root / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, cwd=self.root, env={"PATH": path}
        )
        return Output(done.stdout, done.stderr, done.returncode)

    def script(self, job: str, name: str = "app1") -> tuple[int, str]:
        text = write_script(wish(name)).replace("/var/lib/shunt", str(self.root / "state"))
        self.write(script=text)
        done = self.run(*self.shell.split(), "script", job)
        return done.status, done.stdout

    def answers(self, name: str = "app1") -> dict[str, Output]:
        return {
            fact.name: self.run(*self.shell.split(), "-c", fact.command.text)
            for fact in DRIVER.facts(wish(name))
        } | {"record": Output("")}


def wish(name: str) -> Wish:
    server = Server(
        "s", (), os=OperatingSystem.AIX_WPAR, wpar=name, gateway=ip_address("192.0.2.1")
    )
    return Wish(server, (ip_address("192.0.2.10"),))


@pytest.fixture(params=SHELLS)
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, request.param)


def test_the_script_sets_up_one_partition_and_takes_all_of_it_back(machine: Machine) -> None:
    assert machine.script("check")[0] == 1
    assert machine.script("apply")[0] == 0
    status, said = machine.script("check")
    assert (status, "missing" in said) == (0, False)
    assert machine.read("routes") == "app1 default 192.0.2.1\n"
    assert machine.script("undo")[0] == 0
    assert (machine.read("networks"), machine.read("routes")) == (NETWORKS, "")
    assert machine.read("routing") == "no\n"


def test_routing_stays_where_it_serves_other_routes(machine: Machine) -> None:
    machine.write(routing="yes\n", routes="app1 10.0.0.0 192.0.2.7\n")
    assert machine.script("apply")[0] == 0
    assert machine.script("undo")[0] == 0
    assert machine.read("routes") == "app1 10.0.0.0 192.0.2.7\n"
    assert machine.read("routing") == "yes\n"


def test_a_gateway_whose_number_begins_alike_is_another(machine: Machine) -> None:
    machine.write(routing="yes\n", routes="app1 default 192.0.2.100\n")
    status, said = machine.script("check")
    assert status == 1
    assert "missing: give app1 routing of its own" in said
    observed = DRIVER.observe(wish("app1"), machine.answers())
    steps = DRIVER.plan(observed, wish("app1")).steps
    assert "wpar-routing" in {step.id for step in steps}


def test_a_second_partition_on_the_loopback_stops_the_script(machine: Machine) -> None:
    machine.write(networks=NETWORKS + "app2 lo0 192.0.2.9 255.255.255.255 -\n")
    assert machine.script("check")[0] == 1
    assert machine.script("apply")[0] == 1
    assert machine.read("log") == ""  # nothing was changed


def test_what_was_switched_on_is_switched_off_again(machine: Machine) -> None:
    for routing, flags in (("no", "-K -i -I"), ("yes", "-K -I")):
        machine.write(routing=f"{routing}\n", routes="")
        if routing == "yes":
            machine.write(routes="app1 10.0.0.0 192.0.2.7\n")
        observed = DRIVER.observe(wish("app1"), machine.answers())
        (step,) = (s for s in DRIVER.plan(observed, wish("app1")).steps if s.id == "wpar-routing")
        assert f"chwpar {flags} rtdest=default" in step.undo[0].text


def test_a_list_that_fails_is_no_empty_list(machine: Machine) -> None:
    """Neither for the plan, nor for what looks whether something is still there."""
    machine.write(broken="")
    with pytest.raises(ParseError, match="networks"):
        DRIVER.observe(wish("app1"), machine.answers())
    machine.write(networks=NETWORKS + "app1 lo0 192.0.2.10 255.255.255.0 -\n")
    (machine.root / "broken").unlink()
    plan = DRIVER.plan(DRIVER.observe(wish("app1"), machine.answers()), wish("app1"))
    machine.write(broken="")
    for step in plan.steps:
        for command in (*step.check, *step.undo):
            assert machine.run(*machine.shell.split(), "-c", command.text).status, (
                step.id,
                command.text,
            )
    assert machine.script("check")[0] == 1


@pytest.mark.parametrize(
    "name", ["app1; touch PWNED #", "a$(touch PWNED)", "a`touch PWNED`", "a b"]
)
def test_a_name_is_one_word_whatever_it_holds(machine: Machine, name: str) -> None:
    """The configuration refuses such names; the driver does not count on it."""
    answers = machine.answers(name)
    observed = DRIVER.observe(wish(name), answers)
    for step in DRIVER.plan(observed, wish(name)).steps:
        for command in (*step.do, *step.check, *step.undo):
            machine.run(*machine.shell.split(), "-c", command.text)
    for job in ("check", "apply", "undo"):
        machine.script(job, name)
    assert not (machine.root / "PWNED").exists()
