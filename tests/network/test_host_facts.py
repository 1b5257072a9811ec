"""Links, addresses, routes, drivers and settings are what iproute2 and ethtool say they are."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from functools import partial
from ipaddress import ip_address, ip_interface
from typing import TYPE_CHECKING

import pytest

from shunt.errors import HostError, NetworkError
from shunt.model.addresses import Mac
from shunt.network import ethtool, host, links
from shunt.network.addresses import addresses, held_by_host
from shunt.network.links import Link, Xdp, XdpMode
from shunt.network.netlink import Message, attribute
from shunt.network.routes import RouteKind, matching_route, route_to

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

lab_test = pytest.mark.lab


@pytest.fixture
def machine(lab: Lab) -> Host:
    lab.segment("lan")
    made = lab.host("machine")
    lab.join(made, "lan", addresses=["192.0.2.1/24", "2001:db8::1/64"])
    made.ip("link", "add", "br7", "type", "bridge")
    made.ip("link", "add", "one", "type", "veth", "peer", "name", "two")
    made.ip("link", "set", "one", "master", "br7", "mtu", "1400")
    made.ip("link", "set", "dev", "one", "up")
    made.ip("address", "add", "198.51.100.7/32", "dev", "lo")
    made.ip("route", "add", "local", "203.0.113.0/24", "dev", "lo")
    made.ip("route", "add", "local", "203.0.114.0/24", "dev", "lo", "table", "77")
    made.ip("route", "add", "default", "via", "192.0.2.254")
    made.ip("route", "add", "blackhole", "198.18.0.0/15")
    made.ip("-6", "route", "add", "default", "via", "2001:db8::fe", "dev", "eth0")
    return made


@lab_test
def test_links_are_those_of_iproute2(machine: Host) -> None:
    told = {each["ifname"]: each for each in json.loads(machine.ip("-json", "-d", "link"))}
    found = {link.name: link for link in machine.call(links.links)}
    assert found.keys() == told.keys()
    for name, link in found.items():
        each = told[name]
        assert link.index == each["ifindex"]
        assert str(link.mac) == each["address"]
        assert link.mtu == each["mtu"]
        assert link.up == ("UP" in each["flags"])
        assert link.running == ("LOWER_UP" in each["flags"])
        assert link.kind == each.get("linkinfo", {}).get("info_kind")
        assert link.xdp is None
    assert found["one"].peer == found["two"].index
    assert found["one"].peer_namespace is None
    assert found["one"].master == found["br7"].index
    assert found["eth0"].peer_namespace is not None


@lab_test
def test_the_other_end_of_a_pair_is_seen_in_any_namespace(machine: Host, lab: Lab) -> None:
    port = lab.peer_port(machine)
    switch = lab.segments["lan"]
    there = {link.name: link for link in switch.call(links.links)}[port.interface]

    def behind(name: str) -> Link | None:
        return machine.call(lambda: links.peer_of(links.find(name)))

    beside, far = behind("one"), behind("eth0")
    assert beside is not None
    assert beside.name == "two"
    assert far is not None
    assert (far.index, far.name, far.mac) == (there.index, there.name, there.mac)
    assert behind("br7") is None
    gone = replace(machine.call(lambda: links.find("eth0")), peer_namespace=4000)
    assert machine.call(lambda: links.peer_of(gone)) is None


@lab_test
def test_an_absent_link_is_told_with_those_that_are_near(machine: Host) -> None:
    def find(name: str) -> Link:
        return machine.call(lambda: links.find(name))

    assert find("eth0").name == "eth0"
    with pytest.raises(HostError, match="no interface eht0") as caught:
        find("eht0")
    assert caught.value.hint == "there is eth0"


@pytest.mark.parametrize(
    ("attached", "mode", "programs"),
    [
        (0, None, ()),
        (1, XdpMode.NATIVE, (41,)),
        (2, XdpMode.GENERIC, (41,)),
        (4, XdpMode.MULTI, (41, 42)),
    ],
)
def test_xdp_programs_of_a_link(
    attached: int, mode: XdpMode | None, programs: tuple[int, ...]
) -> None:
    kinds = (5, 6) if mode is XdpMode.MULTI else (4,)
    ids = [attribute(k, struct.pack("=I", i)) for k, i in zip(kinds, programs, strict=False)]
    xdp = attribute(43, b"".join([attribute(2, bytes([attached])), *ids]))
    body = struct.pack("=BxHiII", 0, 1, 2, 0x1, 0) + attribute(3, b"eth0\0")
    body += attribute(4, struct.pack("=I", 1500)) + attribute(1, bytes(6)) + xdp
    expected = Xdp(programs, mode) if mode else None
    assert links._link(Message(16, 0, 0, body)).xdp == expected


@lab_test
def test_addresses_are_those_of_iproute2(machine: Host) -> None:
    told = {
        (each["ifname"], ip_interface(f"{one['local']}/{one['prefixlen']}"))
        for each in json.loads(machine.ip("-json", "address"))
        for one in each["addr_info"]
    }
    found = machine.call(addresses)
    assert {(one.interface, ip_interface(f"{one.address}/{one.prefix}")) for one in found} == told


@lab_test
@pytest.mark.parametrize(
    ("address", "removal"),
    [
        ("192.0.2.1", "ip address del 192.0.2.1/24 dev eth0"),
        ("2001:db8::1", "ip address del 2001:db8::1/64 dev eth0"),
        ("198.51.100.7", "ip address del 198.51.100.7/32 dev lo"),
        ("203.0.113.9", "ip route del local 203.0.113.0/24 dev lo"),
    ],
)
def test_the_command_frees_an_address_that_the_host_holds(
    machine: Host, address: str, removal: str
) -> None:
    held = machine.call(lambda: held_by_host(ip_address(address)))
    assert held is not None
    assert held.removal == removal
    machine.run(held.removal.split())
    assert machine.call(lambda: held_by_host(ip_address(address))) is None


@lab_test
def test_a_rule_can_lead_to_a_local_route_in_another_table(machine: Host) -> None:
    machine.ip("rule", "add", "to", "203.0.114.0/24", "lookup", "77")
    for address, removal in (
        ("203.0.113.9", "ip route del local 203.0.113.0/24 dev lo"),
        ("203.0.114.9", "ip route del local 203.0.114.0/24 dev lo table 77"),
    ):
        held = machine.call(partial(held_by_host, ip_address(address)))
        assert held is not None
        assert held.removal == removal


@lab_test
def test_what_others_hold_is_not_held_here(machine: Host) -> None:
    for free in ("192.0.2.2", "198.18.0.1", "2001:db8::2", "8.8.8.8"):
        assert machine.call(partial(held_by_host, ip_address(free))) is None


@lab_test
def test_routes(machine: Host) -> None:
    near = machine.call(lambda: route_to(ip_address("192.0.2.77")))
    assert (near.interface, near.gateway, near.source) == ("eth0", None, ip_address("192.0.2.1"))
    assert near.on_link
    far = machine.call(lambda: route_to(ip_address("8.8.8.8")))
    assert far.gateway == ip_address("192.0.2.254")
    assert not far.on_link
    six = machine.call(lambda: route_to(ip_address("2001:db8:1::1")))
    assert six.gateway == ip_address("2001:db8::fe")
    own = machine.call(lambda: route_to(ip_address("192.0.2.1")))
    assert own.kind is RouteKind.LOCAL
    matched = machine.call(lambda: matching_route(ip_address("192.0.2.77")))
    assert str(matched.destination) == "192.0.2.0/24"
    assert matched.table == 254


@lab_test
def test_a_gateway_of_the_other_family(machine: Host) -> None:
    way = ("via", "inet6", "2001:db8::fe", "dev", "eth0")
    machine.ip("route", "add", "198.51.100.0/24", *way)
    found = machine.call(lambda: route_to(ip_address("198.51.100.9")))
    assert found.gateway == ip_address("2001:db8::fe")


@lab_test
def test_no_route_is_told(machine: Host) -> None:
    machine.ip("route", "del", "default")
    with pytest.raises(
        NetworkError, match=r"no route to 8\.8\.8\.8: network is unreachable"
    ) as caught:
        machine.call(lambda: route_to(ip_address("8.8.8.8")))
    assert caught.value.hint == "see `ip route get 8.8.8.8`"


@lab_test
def test_drivers_are_as_ethtool_says(machine: Host) -> None:
    assert machine.call(lambda: ethtool.driver("eth0")).name == "veth"
    counters = machine.call(lambda: ethtool.statistics("eth0"))
    for name, value in counters.items():
        assert f"{name}: {value}" in machine.run(["ethtool", "-S", "eth0"]).stdout
    assert ethtool.xdp_tx_errors(counters) == 0
    assert machine.call(lambda: ethtool.statistics("lo")) == {}
    told = machine.run(["ethtool", "-k", "one"]).stdout
    for name, active in machine.call(lambda: ethtool.features("one")).items():
        if f"{name}:" in told:  # ethtool shows some under names of its own
            assert f"{name}: {'on' if active else 'off'}" in told
    machine.run(["ethtool", "-K", "one", "gro", "on"])
    assert machine.call(lambda: ethtool.features("one"))["rx-gro"]
    machine.run(["ethtool", "-K", "one", "gro", "off"])
    assert not machine.call(lambda: ethtool.features("one"))["rx-gro"]
    with pytest.raises(HostError, match="no interface absent0"):
        machine.call(lambda: ethtool.driver("absent0"))


@lab_test
def test_tags_that_a_driver_takes_off_are_known_by_the_words_that_stop_it(machine: Host) -> None:
    def taken_off() -> tuple[str, ...] | None:
        return machine.call(lambda: ethtool.tags_taken_off("one"))

    machine.run(["ethtool", "-K", "one", "rxvlan", "on", "rx-vlan-stag-hw-parse", "on"])
    words = taken_off()
    assert words == ("rxvlan", "rx-vlan-stag-hw-parse")
    for word in words:
        machine.run(["ethtool", "-K", "one", word, "off"])
    assert taken_off() == ()
    assert machine.call(lambda: ethtool.tags_taken_off("absent0")) is None


@pytest.mark.parametrize(
    "counters",
    [
        {"rx_queue_0_xdp_tx_errors": 3, "rx_queue_1_xdp_tx_errors": 4, "rx_queue_0_drops": 9},
        {"tx0_xdp_tx": 9, "tx0_xdp_tx_drops": 3, "tx1_xdp_tx_drops": 4, "rx0_xdp_drops": 9},
        {"rx_xdp_tx_xmit": 9, "rx_xdp_tx_full": 5, "rx_xdp_tx_err": 2, "rx0_xdp_tx_full": 5},
    ],
    ids=["veth", "virtio_net", "mlx5"],
)
def test_frames_that_xdp_could_not_send_are_summed(counters: dict[str, int]) -> None:
    assert ethtool.xdp_tx_errors(counters) == 7


@lab_test
def test_the_stricter_setting_counts(machine: Host) -> None:
    machine.sysctl("net.ipv4.conf.all.rp_filter", "1")
    machine.sysctl("net.ipv4.conf.eth0.rp_filter", "2")
    machine.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    machine.sysctl("net.ipv4.conf.eth0.forwarding", "1")
    facts = machine.call(lambda: host.interface_facts("eth0"))
    assert facts == host.InterfaceFacts("eth0", True, False, 2, 1, 0)
    machine.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")
    assert machine.call(lambda: host.interface_facts("eth0")).forwarding6 is None


def test_a_setting_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"does not show net\.ipv4\.nothing: No such file"):
        host.sysctl("net/ipv4/nothing", root=tmp_path)


def test_link_addresses_that_are_no_macs_are_left_out() -> None:
    body = struct.pack("=BxHiII", 0, 768, 2, 0, 0) + attribute(3, b"tunl0\0")
    body += attribute(4, struct.pack("=I", 1480)) + attribute(1, bytes(4))
    assert links._link(Message(16, 0, 0, body)).mac is None
    full = body[:-8] + attribute(1, bytes([2, 0, 0, 0, 0, 1]))
    assert links._link(Message(16, 0, 0, full)).mac == Mac.parse("02:00:00:00:00:01")
