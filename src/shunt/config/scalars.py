"""What single values may say: one function a kind, text in, value out.

Every function raises `ScalarError` with "what is wrong; what would be right". YAML's own guesses
play no part: `08` is the number 8, `1:30` no duration, `no` a word.
"""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, TypeVar

from shunt.config.nearest import Nearest
from shunt.letters import is_seen
from shunt.model.addresses import ZERO, Mac
from shunt.model.config import Forward
from shunt.model.via import Via

if TYPE_CHECKING:
    from collections.abc import Callable

    from shunt.model.addresses import Address

MAX_SECONDS = 32_000_000  # a year and a bit; the longest time that Dispatcher knows
ANY_PORT = 0

# Linux takes any letter in the names of interfaces and namespaces. Of ASCII all can be told apart.
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
LINUX_INTERFACE = r"(?!\.\.?$)[!-.0-9;-~]{1,15}"  # IFNAMSIZ of linux/if.h, without NUL
GROUP = r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"
NETNS = r"(?!\.\.?$)[!-.0-~]{1,255}"
WPAR = r"[A-Za-z1-9#$%?@_][A-Za-z0-9#$%?@_-]{0,24}"  # as mkwpar and chwpar take it
SECRET = r"[0-9A-Fa-f]{32}"  # noqa: S105 -- the form of a secret, not one
_ANY_MAC = r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}"
MAC = rf"(?!00([:-]00){{5}}$)(?=.[02468ACEace]){_ANY_MAC}"  # of one machine
DURATION = r"([0-9]+)([smhd]?)"

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = re.compile(r"[0-9]{1,18}")
_Choice = TypeVar("_Choice", bound=StrEnum)


class ScalarError(ValueError):
    """A value is not what its key takes; the message says what would be."""


def number(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole decimal numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not _NUMBER.fullmatch(text) or not low <= int(text) <= high:
            raise ScalarError(f"`{text}` is not right; give a whole number from {low} to {high}")
        return int(text)

    return read


def port(text: str) -> int:
    """Return a port, `ANY_PORT` for `any`."""
    if text == "any":
        return ANY_PORT
    if not _NUMBER.fullmatch(text):
        raise ScalarError(f"`{text}` is no port; give a number from 1 to 65535, or any")
    if int(text) > 65535:
        raise ScalarError(f"port {text} is out of range; give 1 to 65535, or any")
    return int(text)


def duration(low: int) -> Callable[[str], int]:
    """Return a reader of durations, `300`, `300s`, `5m`, `1h` or `1d`, into seconds."""

    def read(text: str) -> int:
        found = re.fullmatch(DURATION, text)
        if not found or len(text) > 12:
            raise ScalarError(f"`{text}` is no duration; write seconds, or like 90s, 5m, 1h, 1d")
        seconds = int(found[1]) * _UNITS[found[2]]
        if not low <= seconds <= MAX_SECONDS:
            raise ScalarError(
                f"`{text}` is out of range; give {low} s to {MAX_SECONDS} s (370 days)"
            )
        return seconds

    return read


def hundredths(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of numbers with up to two decimals, as whole hundredths."""

    def read(text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,9})(?:\.([0-9]{1,2}))?", text)
        value = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else -1
        if not low * 100 <= value <= high * 100:
            raise ScalarError(f"`{text}` is not right; give a number from {low} to {high}")
        return value

    return read


def yes_no(text: str) -> bool:
    """Return whether it says yes."""
    if text not in {"yes", "no", "true", "false"}:
        raise ScalarError(f"`{text}` is neither yes nor no")
    return text in {"yes", "true"}


def choice(kind: type[_Choice], what: str) -> Callable[[str], _Choice]:
    """Return a reader of the words of an enumeration; `what` names it in messages."""
    words = [member.value for member in kind]

    def read(text: str) -> _Choice:
        if text not in words:
            near = Nearest()(text, words)
            right = f"did you mean `{near}`?" if near else f"one of {', '.join(words)}"
            raise ScalarError(f"`{text}` is no {what}; {right}")
        return kind(text)

    return read


def forward(text: str) -> Forward:
    """Return a forwarding method that this release has."""
    method = choice(Forward, "forwarding method")(text)
    if method is not Forward.MAC:
        raise ScalarError(f"forwarding by {method} is not available yet; use mac")
    return method


def seen(text: str, what: str) -> str:
    """Return `text`, of which every letter can be seen: it will stand in commands and messages."""
    hidden = next((letter for letter in text if not is_seen(letter)), None)
    if hidden is not None:
        raise ScalarError(
            f"the {what} holds U+{ord(hidden):04X}, which cannot be seen; leave it out"
        )
    return text


def matching(pattern: str, what: str, right: str) -> Callable[[str], str]:
    """Return a reader of text of one form; `what` and `right` name it in messages."""
    form = re.compile(pattern)

    def read(text: str) -> str:
        if not form.fullmatch(text):
            raise ScalarError(f"`{text}` is no {what}; {right}")
        return seen(text, what)

    return read


name = matching(NAME, "name", "use letters, digits, `_`, `-`, `.`, 63 at most, no sign first")
interface = matching(
    LINUX_INTERFACE,
    "interface",
    "give 1 to 15 characters, letters, digits and signs of ASCII; another name must be changed"
    " (`ip link set dev OLD name NEW`)",
)
group = matching(GROUP, "group", "give a name as /etc/group has it")
netns = matching(
    NETNS,
    "network namespace",
    "give a name as `ip netns list` shows, of letters, digits and signs of ASCII",
)
folder = matching(r"/[^\x00-\x1f\x7f]{0,254}", "folder", "give an absolute path")
wpar = matching(
    WPAR, "workload partition", "give 1 to 25 letters, digits, `_`, `-`, no `-` or `0` first"
)
label = matching(r"[^\x00-\x1f\x7f]{1,255}", "name", "give it as the server's system shows it")


def secret(text: str) -> bytes:
    """Return the 16 bytes of a key in hexadecimal."""
    if not re.fullmatch(SECRET, text):
        raise ScalarError(
            "the secret is not 32 hexadecimal digits; make one with `openssl rand -hex 16`"
        )
    return bytes.fromhex(text)


def via(text: str) -> str:
    """Return a way into a server as it was written, after a look at its form."""
    try:
        Via.parse(text)
    except ValueError as error:
        raise ScalarError(str(error)) from None
    return text


def address(text: str) -> Address:
    """Return an IPv4 or IPv6 host address."""
    try:
        found = ip_address(text)
    except ValueError:
        raise ScalarError(_no_address(text)) from None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            raise ScalarError(
                f"`{text}` names an interface; give the address without `%{found.scope_id}`"
            )
        if found.ipv4_mapped is not None:
            raise ScalarError(
                f"`{text}` is an IPv4 address in IPv6's clothes; write {found.ipv4_mapped}"
            )
    return found


def _no_address(text: str) -> str:
    host, slash, _ = text.partition("/")
    if slash:
        return f"`{text}` is a network; give the host's address alone, like {host}"
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text):
        octets = [int(octet[:9]) for octet in text.split(".")]
        if all(octet < 256 for octet in octets):
            return f"`{text}` has leading zeroes; write {'.'.join(map(str, octets))}"
        return f"`{text}` is no IPv4 address; its four numbers are 0 to 255"
    if ":" in text:
        return f"`{text}` is no IPv6 address; write it like 2001:db8::10"
    return (
        f"`{text}` is no address; write it like 192.0.2.10 or 2001:db8::10, names are not looked up"
    )


def mac(text: str) -> Mac:
    """Return the MAC address of one machine."""
    if not re.fullmatch(_ANY_MAC, text):
        raise ScalarError(f"`{text}` is not a MAC address; write it like 52:54:00:12:34:56")
    found = Mac.parse(text)
    if found.octets[0] & 1:
        raise ScalarError(f"{found} is a group's MAC address; give the one of the server's card")
    if found == ZERO:
        raise ScalarError(f"{found} is not a machine's MAC address; give the one of its card")
    return found


def cluster_address(text: str) -> Address:
    """Return an address that clients may be told; 0.0.0.0 and :: stand for every other one."""
    found = address(text)
    return found if found.is_unspecified else _unicast(found, "cluster address")


def own_address(text: str) -> Address:
    """Return an address that one machine can have on a segment."""
    found = address(text)
    if found.is_unspecified:
        raise ScalarError(f"{found} is no machine's address; give the one that the server has")
    return _unicast(found, "server's own address")


def _unicast(found: Address, what: str) -> Address:
    if found.is_multicast:
        raise ScalarError(f"{found} is a multicast address; a {what} belongs to one host")
    if found.is_loopback:
        raise ScalarError(f"{found} is a loopback address; a {what} is seen on the segment")
    if isinstance(found, IPv4Address):
        if found == IPv4Address("255.255.255.255"):
            raise ScalarError(f"{found} is the broadcast address; a {what} belongs to one host")
        if found.packed[0] == 0:
            raise ScalarError(
                f"{found} is in 0.0.0.0/8, which no host may have; give another {what}"
            )
    return found
