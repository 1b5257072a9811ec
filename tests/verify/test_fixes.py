"""Every cause can be explained, and fixed with commands of the server's own system."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from shunt.model.config import OperatingSystem, Server
from shunt.verify.findings import Cause, Check, Finding, Verdict, what, why
from shunt.verify.fixes import fix
from shunt.verify.subject import Cluster, Examined, Subject

CLUSTER, OWN = ip_address("192.0.2.10"), ip_address("192.0.2.21")
HARMLESS = {Cause.PING_FILTERED, Cause.UDP_SILENT, Cause.REPLIES_ELSEWHERE, Cause.NO_CONTROL}


def _fix(cause: Cause, server: Server | None) -> tuple[str, ...]:
    examined = Examined("a", (OWN,), server)
    subject = Subject({"a": examined}, (Cluster("web", CLUSTER, ("a",)),))
    return fix(subject, Finding(Check.SILENCE, "a", CLUSTER, Verdict.WRONG, cause))


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_explained_and_has_a_fix(cause: Cause) -> None:
    assert what(cause)
    assert why(cause).endswith(".")
    assert bool(_fix(cause, Server("a", (OWN,)))) is (cause not in HARMLESS)


@pytest.mark.parametrize(
    ("system", "command"),
    [
        (OperatingSystem.AIX, "ifconfig lo0 alias 192.0.2.10 netmask 255.255.255.255"),
        (OperatingSystem.FREEBSD, "ifconfig lo0 inet 192.0.2.10/32 alias"),
        (OperatingSystem.MACOS, "ifconfig lo0 alias 192.0.2.10 netmask 255.255.255.255"),
        (
            OperatingSystem.WINDOWS,
            "Set-NetIPInterface -InterfaceAlias 'dsr' -AddressFamily IPv4 -WeakHostSend Enabled",
        ),
    ],
)
def test_a_missing_alias_is_set_in_the_systems_own_words(
    system: OperatingSystem, command: str
) -> None:
    lines = _fix(Cause.ALIAS_MISSING, Server("a", (OWN,), os=system))
    assert lines[0] == "shunt server apply a"
    assert command in lines


@pytest.mark.parametrize("system", OperatingSystem)
def test_no_system_is_without_words(system: OperatingSystem) -> None:
    server = Server("a", (OWN,), os=system)  # a WPAR without its name: the plan refuses
    assert _fix(Cause.ANSWERS_ARP, server)[0] == "shunt server apply a"


def test_without_a_file_the_command_is_run_on_the_server() -> None:
    lines = _fix(Cause.ASKS_IN_ITS_NAME, None)
    assert lines[0] == "on a: shunt server apply --local --cluster 192.0.2.10"
    assert any("arp_announce" in line for line in lines)
