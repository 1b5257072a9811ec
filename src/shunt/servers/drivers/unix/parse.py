"""Strict readers of what Unix commands print: interfaces, ARP tables, settings, kept lines."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.servers.drivers.unix.observed import Held
from shunt.servers.routes.text import Line, filled, inet, inet6, mask_length, numbered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Address

    from shunt.model.addresses import Address
    from shunt.servers.steps import Output

_HINT = "run it on the server by hand, as root, and look at what it prints"
_HEAD = re.compile(r"([a-z][a-z0-9_.-]*(?::\d+)?):? (?:flags=|.*<[A-Z0-9_,]*>).*")
# What has no wire: the loopback of every system, and the vni of Solaris whatever it is called.
_SILENT = re.compile(r"[<,](?:LOOPBACK|NOXMIT)[,>]")
_INET = re.compile(
    r"inet (?P<address>[\d.]+)(?:/(?P<bits>\d+))?(?: -+> [\d.]+(?:/\d+)?)?"
    r"(?: netmask (?P<mask>(?:0x)?[0-9a-fA-F]{8}|[\d.]+))?(?: .*)?"
)
_INET6 = re.compile(
    r"inet6 (?P<address>[0-9a-fA-F:.]+)(?:%\w+)?(?:/(?P<bits>\d+))?(?: -+> \S+)?"
    r"(?: prefix(?:len)? (?P<length>\d+))?(?: .*)?"
)
_PUBLISHED = re.compile(r"\(?(?P<address>\d+(?:\.\d+){3})\)?\s.*")


def text_of(outputs: Mapping[str, Output], name: str) -> str:
    """Return what a command printed.

    Raises:
        ParseError: It was not run, failed, or printed nothing.
    """
    output = outputs.get(name)
    if output is None:
        raise ParseError(f"the question {name!r} was not answered", hint=_HINT)
    if output.status:
        why = output.stderr.strip() or "without a word"
        raise ParseError(f"the question {name!r} failed with {output.status}: {why}", hint=_HINT)
    if not output.stdout.strip():
        raise ParseError(f"the question {name!r} was answered by nothing", hint=_HINT)
    return output.stdout


def whole_lines(outputs: Mapping[str, Output], name: str) -> tuple[Line, ...]:
    """Return the lines before the line `end`, which shows that nothing was cut off.

    Raises:
        ParseError: That line is missing.
    """
    lines = filled(numbered(text_of(outputs, name)))
    if lines[-1].text.strip() != "end":
        raise ParseError(f"the answer to {name!r} is cut off", hint=_HINT)
    return lines[:-1]


def interfaces(outputs: Mapping[str, Output], name: str = "interfaces") -> tuple[Held, ...]:
    """Read `ifconfig -a` in the forms of AIX, HP-UX, Solaris, the BSDs and macOS.

    Raises:
        ParseError: A line with an address is not understood, or the loopback's own is missing.
    """
    held = tuple(_held(filled(numbered(text_of(outputs, name)))))
    if not any(one.address.is_loopback for one in held):
        raise ParseError("ifconfig shows no loopback interface: its output is cut off", hint=_HINT)
    return held


def _held(lines: Iterable[Line]) -> Iterator[Held]:
    interface, silent = "", False
    for line in lines:
        words = " ".join(line.fields)
        if not line.text[0].isspace():
            head = _HEAD.fullmatch(words)
            if head is None:
                line.refuse("ifconfig begins no interface like this", hint=_HINT)
            interface, silent = head[1], bool(_SILENT.search(words))
        elif words.startswith("inet6 "):
            yield replace(_held6(line, interface, words), silent=silent)
        elif words.startswith("inet "):
            yield replace(_held4(line, interface, words), silent=silent)


def _held4(line: Line, interface: str, words: str) -> Held:
    match = _INET.fullmatch(words)
    address = inet(match["address"]) if match else None
    if match is None or address is None or not interface:
        line.refuse("ifconfig shows an address that is not understood", hint=_HINT)
    if match["bits"]:
        return Held(interface, address, int(match["bits"]))
    bits = mask_length(_mask(match["mask"])) if match["mask"] else 32
    if bits is None:
        line.refuse("ifconfig shows a mask that is none", hint=_HINT)
    return Held(interface, address, bits)


def _mask(text: str) -> IPv4Address:
    from ipaddress import IPv4Address

    return IPv4Address(text if "." in text else int(text.removeprefix("0x"), 16))


def _held6(line: Line, interface: str, words: str) -> Held:
    match = _INET6.fullmatch(words)
    address = inet6(match["address"]) if match else None
    if match is None or address is None or not interface:
        line.refuse("ifconfig shows an address that is not understood", hint=_HINT)
    return Held(interface, address, int(match["bits"] or match["length"] or 128))


def published(outputs: Mapping[str, Output], name: str = "arp") -> frozenset[Address]:
    """Read the published entries out of `arp -an`; the words differ, `publish` is in all of them.

    Solaris prints columns instead, with a P among the flags and no L (an address of its own).

    Raises:
        ParseError: The table is cut off.
    """
    found = (_published(line) for line in whole_lines(outputs, name))
    return frozenset(address for address in found if address is not None)


def _published(line: Line) -> Address | None:
    fields = line.fields
    address = next((a for a in (inet(field.strip("()")) for field in fields) if a), None)
    solaris = (
        len(fields) >= 4 and inet(fields[1]) is not None and re.fullmatch("[A-Zo]+", fields[3])
    )
    if solaris and "P" in fields[3] and not set(fields[3]) & set("LA"):
        return address
    return address if "publish" in line.text.lower() else None


def settings(outputs: Mapping[str, Output], name: str = "settings") -> dict[str, str]:
    """Read lines `name=value`; those of the value `absent` are left out.

    Raises:
        ParseError: A line is of another form, has no value, or the last one is missing.
    """
    found: dict[str, str] = {}
    for line in whole_lines(outputs, name):
        key, equals, value = line.text.partition("=")
        if not equals or not value.strip() or " " in value.strip():
            line.refuse("a setting without its value", hint=_HINT)
        if value.strip() != "absent":
            found[key] = value.strip()
    return found


def kept(outputs: Mapping[str, Output], name: str = "kept") -> frozenset[str]:
    """Read the lines that make things come back at boot, as they stand.

    Raises:
        ParseError: The last line is missing.
    """
    return frozenset(line.text.strip() for line in whole_lines(outputs, name))
