"""What stands in a laboratory works; what it did is gone afterwards."""

from __future__ import annotations

import socket
from ipaddress import ip_interface
from typing import TYPE_CHECKING

import pytest

from shunt.errors import HostError, LabError, UsageError
from shunt.model.addresses import Mac

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab

pytestmark = pytest.mark.lab


def pair(lab: Lab) -> tuple[Host, Host]:
    lab.segment("lan")
    left, right = lab.host("left"), lab.host("right")
    lab.join(left, "lan", addresses=["192.0.2.1/24", "2001:db8::1/64"], mac="02:00:00:00:00:01")
    lab.join(right, "lan", addresses=["192.0.2.2/24", "2001:db8::2/64"])
    return left, right


@pytest.mark.parametrize("address", ["192.0.2.2", "2001:db8::2"])
def test_hosts_of_a_segment_reach_each_other(lab: Lab, address: str) -> None:
    left, right = pair(lab)
    left.run(["ping", "-n", "-c1", "-W2", address])
    assert left.neighbour(address) == right.interface("eth0").mac


def test_an_interface_is_as_it_was_asked_for(lab: Lab) -> None:
    left, _ = pair(lab)
    found = left.interface("eth0")
    assert found.mac == Mac.parse("02:00:00:00:00:01")
    assert ip_interface("192.0.2.1/24") in found.addresses
    assert ip_interface("2001:db8::1/64") in found.addresses
    before = found.counters
    left.run(["ping", "-n", "-c3", "-i0.01", "192.0.2.2"])
    after = left.interface("eth0").counters
    assert after.tx_packets - before.tx_packets >= 3
    assert after.rx_packets - before.rx_packets >= 3


def test_both_ends_of_a_link_do_without_offloads(lab: Lab) -> None:
    left, _ = pair(lab)
    port = lab.peer_port(left)
    for features in (
        left.run(["ethtool", "-k", "eth0"]).stdout,
        lab.segments["lan"].run(["ethtool", "-k", port.interface]).stdout,
    ):
        for name in ("tx-checksumming", "generic-segmentation-offload", "generic-receive-offload"):
            assert f"{name}: off" in features


def test_a_function_of_ours_runs_inside(lab: Lab) -> None:
    left, _ = pair(lab)
    names = left.call(lambda: [name for _, name in socket.if_nameindex()])
    assert sorted(names) == ["eth0", "lo"]
    with left.inside():
        assert sorted(name for _, name in socket.if_nameindex()) == ["eth0", "lo"]
    assert "eth0" not in left.sysctl("net.ipv4.ip_forward")


def test_a_socket_opened_inside_stays_inside(lab: Lab) -> None:
    left, right = pair(lab)
    listener = right.call(lambda: socket.create_server(("192.0.2.2", 7)))
    caller = left.call(lambda: socket.create_connection(("192.0.2.2", 7), timeout=5))
    with listener, caller:
        accepted, peer = listener.accept()
        accepted.close()
    assert peer[0] == "192.0.2.1"


def test_an_error_inside_reaches_the_caller(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError):
        lab.host("left").call(lambda: 1 // 0)


def test_settings_are_those_of_one_host(lab: Lab) -> None:
    left, right = lab.host("left"), lab.host("right")
    assert left.sysctl("net.ipv4.conf.all.arp_ignore", "1") == "1"
    assert right.sysctl("net.ipv4.conf.all.arp_ignore") == "0"
    with pytest.raises(LabError, match=r"net\.ipv4\.nonsense"):
        left.sysctl("net.ipv4.nonsense", "1")


def test_a_failing_command_says_what_and_why(lab: Lab) -> None:
    host = lab.host("left")
    with pytest.raises(LabError, match="status 3: oh no"):
        host.run(["sh", "-c", "echo oh no >&2; exit 3"])
    assert host.run(["sh", "-c", "exit 3"], check=False).status == 3
    with pytest.raises(LabError, match="did not end"):
        host.run(["sleep", "60"], timeout=0.1)
    assert host.run(["cat"], input=b"said").stdout == "said"


def test_a_background_process_can_be_asked_to_end(lab: Lab) -> None:
    host = lab.host("left")
    process = host.start(["sh", "-c", "echo hello; exec sleep 600"])
    process.wait_until_says("hello")
    assert process.status is None
    assert process.terminate() == -15
    with pytest.raises(LabError, match="status -15"):
        process.wait_until_says("good-bye")


def test_names_that_no_link_could_carry_are_refused(lab: Lab) -> None:
    for name in ("", "A", "a-b", "a/b", "thirteenchars", "1a"):
        with pytest.raises(UsageError):
            lab.host(name)
    lab.segment("lan")
    with pytest.raises(LabError, match="already"):
        lab.host("lan")


def test_a_bpf_filesystem_of_its_own(lab: Lab) -> None:
    assert lab.bpf.is_mount()


def test_a_command_that_is_not_installed_is_named(lab: Lab) -> None:
    host = lab.host("a")
    with pytest.raises(HostError, match="`no-such-thing`, which is not installed"):
        host.run(["no-such-thing"])
    started = host.start(["no-such-thing"])
    with pytest.raises(HostError, match="`no-such-thing`, which is not installed"):
        started.wait_until_says("ready")
