"""The benchmark of instructions: its frames, and what it makes of a console."""

from __future__ import annotations

import json

import pytest
from bench.guest.wire import ACK, CLUSTER, SYN, frames
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from bench import machines


@pytest.mark.parametrize("flags", [SYN, ACK])
def test_frames_are_right_and_each_is_another_flow(flags: int) -> None:
    made = frames(40_000, flags)
    flows = set()
    for index in (0, 1, 16_383, 16_384, 39_999):
        packet = Ether(made[index, :60].tobytes())
        assert packet[IP].dst == str(CLUSTER)
        assert packet[TCP].flags == flags
        sums = packet[IP].chksum, packet[TCP].chksum
        del packet[IP].chksum, packet[TCP].chksum
        again = Ether(packet.build())
        assert (again[IP].chksum, again[TCP].chksum) == sums
        flows.add((packet[IP].src, packet[TCP].sport))
    assert len(flows) == 5


COSTS = {"drop": 720, "hop": 1056, "shunt": 1725, "ipvs": 5500}


def console(**changed: float) -> str:
    lines = ["[    0.0] booting", "figure: not JSON"]
    for way, cost in {**COSTS, **changed}.items():
        for flows in machines.FLOWS:
            figure = {"way": way, "flows": flows, "cost": cost, "spread": 0}
            lines.append(f"figure: {json.dumps(figure)}\r")
    return "\n".join([*lines, "figures end"])


def test_a_console_is_read_and_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_measured", lambda _: machines.read(console()))
    (figure,) = machines.run(quick=True)
    rows = {row["way"]: row for row in figure.rows}
    assert rows["Shunt, settled slots"]["1,000"] == "1,005"
    assert rows["IPVS, direct routing"]["of Shunt, at 1,000"] == "4.8"
    assert "all of that holds" not in figure.notes, "IPVS : Shunt is below 5 at 100,000 flows"
    assert "NOT ALL OF THAT HOLDS" in figure.notes


@pytest.mark.parametrize(
    ("changed", "holds"),
    [({"ipvs": 6000}, True), ({"ipvs": 6000, "shunt": 1760}, False), ({"ipvs": 5000}, False)],
)
def test_what_is_to_hold_is_held(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, float], *, holds: bool
) -> None:
    monkeypatch.setattr(machines, "_measured", lambda _: machines.read(console(**changed)))
    (figure,) = machines.run(quick=True)
    assert ("all of that holds" in figure.notes) is holds
