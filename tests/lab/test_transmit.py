"""A virtual Ethernet pair loses what an XDP program sends, unless the laboratory prevents it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hatch_build import FLAGS, system_headers

from shunt.lab import namespaces, topology

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

REFLECT = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int reflect(struct xdp_md *ctx) { (void)ctx; return XDP_TX; }
"""


def test_frames_sent_by_an_xdp_program_arrive(lab: Lab, tmp_path: Path) -> None:
    source, built = tmp_path / "reflect.bpf.c", tmp_path / "reflect.bpf.o"
    source.write_text(REFLECT)
    subprocess.run(
        ["clang", *FLAGS, *system_headers(), "-c", str(source), "-o", str(built)], check=True
    )
    lab.segment("lan")
    host, asker = lab.host("reflector"), lab.host("asker")
    for each in (host, asker):
        namespaces.silence(each.path)  # only the frames that the test sends are to be counted
    port = lab.join(host, "lan")
    host.ip("link", "set", "dev", "eth0", "xdpdrv", "object", str(built), "section", "xdp")
    lab.join(asker, "lan", addresses=["192.0.2.1/24"])
    asker.ip("neighbour", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", "eth0")
    switch = lab.segments["lan"]

    def reflected() -> int:
        before = switch.interface(port.interface).counters.rx_packets
        asker.run(["ping", "-n", "-c3", "-i0.01", "-W0.1", "192.0.2.9"], check=False)
        return switch.interface(port.interface).counters.rx_packets - before

    assert reflected() == 0
    topology.let_transmit(lab, host)
    assert reflected() == 3
