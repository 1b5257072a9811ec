"""Policy rules, marks and filters are asked of the kernel itself, on a real one."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError
from shunt.servers.drivers.linux import kernel
from shunt.servers.drivers.linux.driver import DRIVER
from shunt.servers.steps import Severity
from tests.servers.drivers.golden import FOLDER, load
from tests.servers.linux.setting_up import CLUSTER, CLUSTER6, do, examine, remove, state, wish

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.servers.steps import Finding


@pytest.fixture
def routed(lab: Lab, server: Host) -> Host:
    """The server, with a router, and a second card in a network of its own."""
    server.ip("route", "add", "default", "via", "10.9.0.1")
    server.ip("-6", "route", "add", "default", "via", "2001:db8:9::1")
    lab.segment("other")
    lab.join(server, "other", interface="eth1", addresses=["10.8.0.5/24"])
    return server


def ip(server: Host, *lines: str) -> None:
    for line in lines:
        server.ip(*line.split())


async def errors(server: Host) -> list[Finding]:
    found = (await examine(server, wish(server))).plan.findings
    return [finding for finding in found if finding.severity is Severity.ERROR]


STUCK = f"replies from {CLUSTER} do not reach"
STUCK6 = f"replies from {CLUSTER6} do not reach"
ASTRAY = f"packets for {CLUSTER} that come in by eth0 are not taken for the host's own"
LOCAL_LATE = ("rule add pref 100 lookup local", "rule add pref 50 lookup main", "rule del pref 0")


@pytest.mark.lab
@pytest.mark.parametrize(
    ("lines", "what", "answer"),
    [
        ([f"rule add from {CLUSTER} unreachable"], STUCK, "unreachable"),
        ([f"rule add from {CLUSTER} blackhole"], STUCK, "blackhole"),
        ([f"rule add from {CLUSTER} prohibit"], STUCK, "prohibited"),
        (
            ["route add blackhole default table 9", f"rule add from {CLUSTER} lookup 9"],
            STUCK,
            "blackhole",
        ),
        (
            ["route add local default dev lo table 9", f"rule add from {CLUSTER} lookup 9"],
            STUCK,
            "local",
        ),
        ([f"rule add from {CLUSTER} to 10.8.0.0/24 unreachable"], STUCK, "unreachable"),
        (["rule add iif lo to 10.8.0.0/24 unreachable"], STUCK, "unreachable"),
        (LOCAL_LATE, ASTRAY, "unreachable"),
        ([*LOCAL_LATE[::2], "rule add pref 50 iif eth0 blackhole"], ASTRAY, "unreachable"),
        ([f"-6 rule add from {CLUSTER6} unreachable"], STUCK6, "unreachable"),
        ([f"-6 rule add from {CLUSTER6} blackhole"], STUCK6, "blackhole"),
    ],
)
async def test_what_the_kernel_does_with_the_packets_is_what_check_says(
    routed: Host, lines: list[str], what: str, answer: str
) -> None:
    assert (await do(routed, wish(routed))).now.settled
    assert await errors(routed) == []
    ip(routed, *lines)
    found = await errors(routed)
    assert found, "the kernel was not asked"
    assert any(f.what.startswith(what) and f"`{answer}`" in f.what for f in found), found
    assert all("ip -" in (f.fix or "") for f in found)
    again = await do(routed, wish(routed))
    assert (again.done, again.now.settled) == ((), False)  # nothing that Shunt could set right


@pytest.mark.lab
async def test_rules_that_change_nothing_are_no_finding(routed: Host) -> None:
    await do(routed, wish(routed))
    ip(
        routed,
        "route add default via 10.8.0.1 table 9",
        "rule add from 10.9.0.5 lookup 9",
        f"rule add from {CLUSTER} lookup 9",
        "rule add from 10.77.0.0/16 blackhole",
        "-6 rule add from 2001:db8:77::/48 unreachable",
    )
    assert (await examine(routed, wish(routed))).settled


@pytest.mark.lab
@pytest.mark.parametrize(
    ("lines", "severity"),
    [
        ([f"rule add from {CLUSTER} ipproto tcp unreachable"], Severity.ERROR),
        ([f"rule add from {CLUSTER} ipproto tcp sport 8080 blackhole"], Severity.ERROR),
        ([f"rule add from {CLUSTER} ipproto tcp sport 8000-9000 blackhole"], Severity.ERROR),
        ([f"rule add from {CLUSTER} sport 22 blackhole"], Severity.WARNING),
        (
            ["rule add pref 5 lookup local", "rule del pref 0",
             "rule add pref 1 iif eth0 ipproto tcp dport 8080 prohibit"],
            Severity.ERROR,
        ),
        ([f"-6 rule add from {CLUSTER6} ipproto tcp sport 8080 blackhole"], Severity.ERROR),
    ],
)  # fmt: skip
async def test_rules_by_protocol_and_port_are_asked(
    routed: Host, lines: list[str], severity: Severity
) -> None:
    wanted = wish(routed, flows=frozenset({("tcp", 8080)}))
    await do(routed, wanted)
    ip(routed, *lines)
    found = (await examine(routed, wanted)).plan.findings
    assert max(f.severity for f in found if " with tcp" in f.what) is severity


@pytest.mark.lab
@pytest.mark.parametrize("count", [5, 70])
async def test_every_mark_is_asked_or_it_is_said(routed: Host, count: int) -> None:
    await do(routed, wish(routed))
    lines = [f"rule add pref {n} fwmark {n} lookup main" for n in range(10, 10 + count)]
    routed.run(["ip", "-batch", "-"], input="\n".join(lines))
    ip(routed, f"rule add pref 9 from {CLUSTER} fwmark 0x9 unreachable")
    found = (await examine(routed, wish(routed))).plan.findings
    assert any("with the mark 0x9" in f.what for f in found) or count > 64
    assert any("not all were asked" in f.what for f in found) is (count > 64)


@pytest.mark.lab
async def test_what_only_marked_packets_meet_is_a_warning(routed: Host) -> None:
    await do(routed, wish(routed))
    ip(routed, "rule add fwmark 0x7 unreachable")
    now = await examine(routed, wish(routed))
    marked = [f for f in now.plan.findings if "with the mark 0x7" in f.what]
    assert marked
    assert all(f.severity is Severity.WARNING for f in marked)
    assert now.settled


@pytest.mark.lab
async def test_a_strict_filter_is_loosened_where_the_way_back_is_a_connected_network(
    routed: Host,
) -> None:
    """Clients of the second card's network come by the dispatcher, too, and so by eth0."""
    routed.sysctl("net.ipv4.conf.eth0.rp_filter", "1")
    before = state(routed)
    wanted = wish(routed)
    ids = [step.id for step in (await examine(routed, wanted)).plan.steps]
    assert "rp_filter:ipv4/conf/eth0/rp_filter" in ids
    assert (await do(routed, wanted)).now.settled
    assert routed.sysctl("net.ipv4.conf.eth0.rp_filter") == "2"
    await remove(routed, wanted)
    assert state(routed) == before


@pytest.mark.lab
async def test_a_strict_filter_that_drops_no_client_stays(server: Host) -> None:
    server.ip("route", "add", "default", "via", "10.9.0.1")
    server.sysctl("net.ipv4.conf.eth0.rp_filter", "1")
    assert (await do(server, wish(server))).now.settled
    assert server.sysctl("net.ipv4.conf.eth0.rp_filter") == "1"


@pytest.mark.lab
async def test_containers_behind_a_bridge_of_their_own_are_no_clients(server: Host) -> None:
    server.ip("route", "add", "default", "via", "10.9.0.1")
    server.sysctl("net.ipv4.conf.eth0.rp_filter", "1")
    ip(
        server,
        "link add docker0 type bridge",
        "link add veth1 type veth peer name veth2",
        "link set veth1 master docker0 up",
        "link set veth2 up",
        "link set docker0 up",
        "address add 172.17.0.1/16 dev docker0",
    )
    ids = [step.id for step in (await examine(server, wish(server))).plan.steps]
    assert "rp_filter:ipv4/conf/eth0/rp_filter" not in ids


@pytest.mark.lab
async def test_proxy_arp_within_a_private_vlan_is_told(server: Host) -> None:
    server.sysctl("net.ipv4.conf.eth0.proxy_arp_pvlan", "1")
    found = (await examine(server, wish(server))).plan.findings
    assert [f.what for f in found] == ["proxy ARP is on for eth0 (proxy_arp_pvlan)"]


@pytest.mark.parametrize("refusal", ["Invalid cross-device link", "Invalid argument"])
def test_both_words_for_a_source_that_is_refused_are_known(refusal: str) -> None:
    """The older kernels' and the newer ones'."""
    case = load(FOLDER / "linux" / "strict-reverse-path.yaml")
    host = DRIVER.observe(case.wish, case.outputs)
    lines = [f"2 4 10.8.0.21 from 8.8.8.8 iif eth1 : RTNETLINK answers: {refusal}"]
    object.__setattr__(host, "lookups", kernel.parse(lines))
    assert kernel.filtering(host) == {"eth1"}


@pytest.mark.parametrize(
    "line", ["", "0 4 10.9.0.100 from", "what?", "0 4 x from y : z", "x 4 1.2.3.4 from 1.2.3.5 : a"]
)
def test_an_answer_that_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(ParseError):
        kernel.parse([line])


def test_every_address_is_asked_about() -> None:
    case = load(FOLDER / "linux" / "clean.yaml")
    text = kernel.question(case.wish).command.text
    assert all(str(address) in text for address in case.wish.clusters)
    assert ip_address("8.8.8.8") not in case.wish.clusters
