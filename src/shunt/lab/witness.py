"""The witness: the switch counts the frames at its own ports, in the kernel, without Shunt's help.

nftables in the bridge family sees every frame that the switch passes on: those that XDP programs
handled too, which no capture at the dispatcher's own interface would show.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.lab.topology import CLUSTERS, SEGMENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.lab.topology import Topology
    from shunt.model.addresses import Mac

_TABLE = "witness"
_RECEIVED, _FORWARDED, _RETURNED = "received", "forwarded", "returned"
_REPLY_FROM = "reply_"


@dataclass(frozen=True, slots=True)
class Frames:
    """TCP and UDP frames of the cluster addresses, counted since the witness took its place."""

    requests_in: int  # to a cluster address, on their way into the dispatcher
    requests_out: int  # to a cluster address, sent on by the dispatcher
    replies_through: int  # from a cluster address, in either direction, at the dispatcher
    replies_from: Mapping[str, int]  # from a cluster address, to the client, by the host that sent


def place(topology: Topology) -> None:
    """Set the counters up at the switch, all at 0.

    Raises:
        LabError: this kernel's nftables has no bridge family.
    """
    switch = topology.lab.segments[SEGMENT]
    dispatcher = topology.lab.peer_port(topology.dispatcher).interface
    client = topology.lab.peer_port(topology.client).interface
    switch.run(["nft", "-f", "-"], input=rules(dispatcher, client, topology.macs))


def rules(dispatcher: str, client: str, macs: Mapping[Mac, str]) -> str:
    """Return the nftables rules for the ports of dispatcher and client."""
    lines = []
    senders = ", ".join(f'{mac} : "{_REPLY_FROM}{name}"' for mac, name in macs.items())
    for address in CLUSTERS:
        if isinstance(address, IPv4Address):
            family, transport = "ip", "ip protocol { tcp, udp }"
        else:
            family, transport = "ip6", "ip6 nexthdr { tcp, udp }"
        to, back = f"{family} daddr {address}", f"{family} saddr {address}"
        lines += [
            f'oifname "{dispatcher}" {to} {transport} counter name {_RECEIVED}',
            f'iifname "{dispatcher}" {to} {transport} counter name {_FORWARDED}',
            f'oifname "{dispatcher}" {back} {transport} counter name {_RETURNED}',
            f'iifname "{dispatcher}" {back} {transport} counter name {_RETURNED}',
            f'oifname "{client}" {back} {transport} counter name ether saddr map {{ {senders} }}',
        ]
    counters = [_RECEIVED, _FORWARDED, _RETURNED, *(_REPLY_FROM + name for name in macs.values())]
    declared = "\n".join(f"  counter {name} {{ }}" for name in counters)
    chain = "\n".join(f"    {line}" for line in lines)
    return (
        f"table bridge {_TABLE} {{\n{declared}\n"
        f"  chain passing {{\n    type filter hook forward priority 0; policy accept;\n{chain}\n"
        "  }\n}\n"
    )


def read(topology: Topology) -> Frames:
    """Return what has been counted.

    Raises:
        LabError: the witness is not in place.
        ParseError: nftables said something unknown.
    """
    switch = topology.lab.segments[SEGMENT]
    return parse(switch.run(["nft", "-j", "list", "counters", "table", "bridge", _TABLE]).stdout)


def parse(text: str) -> Frames:
    """Read nftables' JSON list of the witness's counters.

    Raises:
        ParseError: a counter is missing, or the text is nothing of the kind.
    """
    try:
        entries = [each["counter"] for each in json.loads(text)["nftables"] if "counter" in each]
        counts = {entry["name"]: int(entry["packets"]) for entry in entries}
        return Frames(
            requests_in=counts[_RECEIVED],
            requests_out=counts[_FORWARDED],
            replies_through=counts[_RETURNED],
            replies_from={
                name.removeprefix(_REPLY_FROM): count
                for name, count in counts.items()
                if name.startswith(_REPLY_FROM)
            },
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ParseError(f"no list of the witness's counters: {text[:200]!r}") from error
