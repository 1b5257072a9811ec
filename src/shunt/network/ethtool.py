"""What an interface's driver says of itself (linux/ethtool.h, by the SIOCETHTOOL ioctl)."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.errors import HostError, NetworkError
from shunt.network.netlink import text

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIOCETHTOOL = 0x8946
_REQUEST = struct.Struct("16sP")  # struct ifreq: name, address of the command's buffer
_REQUEST_SIZE = 40
_GET_DRIVER, _GET_STRINGS, _GET_STATISTICS = 0x03, 0x1B, 0x1D
_GET_SIZES, _GET_FEATURES = 0x37, 0x3A
_DRIVER_SIZE = 196  # struct ethtool_drvinfo
_STRING = 32
_STATISTICS, _FEATURES = 1, 4  # string sets
_EACH_NOT_SENT = ("xdp_tx_errors", "xdp_tx_drops")  # one for each queue
_SUMS_NOT_SENT = ("rx_xdp_tx_full", "rx_xdp_tx_err")  # beside one for each queue
_TAGS_OFF = {
    "rx-vlan-hw-parse": "rxvlan",
    "rx-vlan-stag-hw-parse": "rx-vlan-stag-hw-parse",
}
_FEATURE = struct.Struct("=IIII")  # available, requested, active, never changed: 32 features each


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver's name and version, its firmware's, and where on a bus the device is."""

    name: str
    version: str
    firmware: str
    bus: str


def driver(interface: str) -> Driver:
    """Return what drives an interface.

    Raises:
        HostError: there is no such interface.
        NetworkError: the driver does not tell.
    """
    data = _command(interface, struct.pack("=I", _GET_DRIVER), _DRIVER_SIZE)
    fields = [text(data[4 + 32 * index : 36 + 32 * index]) for index in range(4)]
    return Driver(*fields)


def statistics(interface: str) -> Mapping[str, int]:
    """Return the driver's own counters by their names; empty where it has none.

    Raises:
        HostError: there is no such interface.
        NetworkError: the driver does not tell.
    """
    names = _strings(interface, _STATISTICS)
    if not names:
        return {}
    request = struct.pack("=II", _GET_STATISTICS, len(names))
    data = _command(interface, request, len(request) + 8 * len(names))
    return dict(zip(names, struct.unpack_from(f"={len(names)}Q", data, len(request)), strict=True))


def xdp_tx_errors(counters: Mapping[str, int]) -> int:
    """Return how many frames that an XDP program sent back did not leave, of `statistics`.

    Drivers have words of their own for it: veth (`xdp_tx_errors`), virtio_net (`xdp_tx_drops`),
    mlx4 and mlx5 (`rx_xdp_tx_full`, `rx_xdp_tx_err`); others do not count them.

    On a veth they are all of them while its other end runs no XDP program of its own, and has GRO
    off; with GRO on they are lost as well, and not counted.
    """
    return sum(
        count
        for name, count in counters.items()
        if name in _SUMS_NOT_SENT or name.endswith(_EACH_NOT_SENT)
    )


def frames_not_sent(interface: str) -> int:
    """Return how many frames of XDP programs the interface could not send; 0 if it does not count.

    A veth's other end must run an XDP program to take frames that a native program sends back.
    """
    try:
        return xdp_tx_errors(statistics(interface))
    except (HostError, NetworkError):
        return 0


def features(interface: str) -> Mapping[str, bool]:
    """Return the offloads by the kernel's names (`tx-tcp-segmentation`, `rx-gro`, ...).

    Raises:
        HostError: there is no such interface.
        NetworkError: the kernel does not tell.
    """
    names = _strings(interface, _FEATURES)
    words = -(-len(names) // 32)
    request = struct.pack("=II", _GET_FEATURES, words)
    data = _command(interface, request, len(request) + _FEATURE.size * words)
    active = [_FEATURE.unpack_from(data, 8 + _FEATURE.size * word)[2] for word in range(words)]
    return {name: bool(active[bit // 32] >> bit % 32 & 1) for bit, name in enumerate(names) if name}


def tags_taken_off(interface: str) -> tuple[str, ...] | None:
    """Return which VLAN tags the driver takes out of frames that come in, by `ethtool -K`'s words.

    Returns:
        `rxvlan` for the tags of 802.1Q, `rx-vlan-stag-hw-parse` for those of 802.1ad; None if the
        driver does not tell.
    """
    try:
        found = features(interface)
    except (HostError, NetworkError):
        return None
    return tuple(word for name, word in _TAGS_OFF.items() if found.get(name, False))


def _strings(interface: str, kind: int) -> list[str]:
    """Return the names of a set; the kernel first says how many there are."""
    try:
        sizes = _command(interface, struct.pack("=IIQI", _GET_SIZES, 0, 1 << kind, 0), 20)
    except NetworkError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise
    _, _, present, count = struct.unpack("=IIQI", sizes)
    if not present:
        return []
    request = struct.pack("=III", _GET_STRINGS, kind, count)
    data = _command(interface, request, len(request) + _STRING * count)
    return [text(data[12 + _STRING * index : 12 + _STRING * (index + 1)]) for index in range(count)]


def _command(interface: str, request: bytes, size: int) -> bytes:
    """Give the driver a command in a buffer of `size` bytes; return the buffer as it fills it."""
    buffer = array("B", request.ljust(size, b"\0"))
    address, _ = buffer.buffer_info()
    ifreq = _REQUEST.pack(interface.encode()[:15], address).ljust(_REQUEST_SIZE, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            fcntl.ioctl(asking, _SIOCETHTOOL, ifreq)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise HostError(f"there is no interface {interface} here") from error
            raise NetworkError(
                f"{interface}: its driver does not answer ethtool: {error.strerror}",
                errno=error.errno or 0,
            ) from error
    return buffer.tobytes()
