"""What the first octets of a MAC tell: the makers that are met where addresses go astray."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shunt.model.addresses import Mac

_LOCAL = 0x02
_PREFIXES = {  # IEEE registry, and RFC 5798 for VRRP
    "00:00:5e:00:01": "VRRP for IPv4",
    "00:00:5e:00:02": "VRRP for IPv6",
    "00:00:0c:07:ac": "Cisco HSRP",
    "00:05:69": "VMware",
    "00:0c:29": "VMware",
    "00:50:56": "VMware",
    "00:15:5d": "Microsoft Hyper-V",
    "00:16:3e": "Xen",
    "00:1c:42": "Parallels",
    "08:00:27": "VirtualBox",
    "52:54:00": "QEMU/KVM",
    "02:42": "Docker",
    "02:00:4c:4f:4f:50": "Microsoft loopback adapter",
}


def vendor(mac: Mac) -> str:
    """Return whose kind of MAC it is, or its prefix to look up."""
    text = str(mac)
    for prefix, name in sorted(_PREFIXES.items(), key=lambda item: -len(item[0])):
        if text.startswith(prefix):
            return name
    if mac.octets[0] & _LOCAL:
        return "locally administered"
    return f"vendor prefix {text[:8]}"


def describe(mac: Mac) -> str:
    """Return the MAC and whose kind it is."""
    return f"{mac} ({vendor(mac)})"
