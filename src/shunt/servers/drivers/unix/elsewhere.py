"""What other boot files would do to the cluster address: a wide mask, or a NIC instead of lo0.

People put aliases into rc.local, start scripts and the files of a NIC. Shunt edits none of these: a
line there may do more than it shows. It is named instead, and the server is not right until the
line is gone or says what it must.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.servers.drivers.unix import parse
from shunt.servers.steps import Command, Fact, Finding, Plan, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shunt.model.addresses import Address
    from shunt.servers.steps import Output

NAME = "elsewhere"
_SETS = re.compile(r"\b(ifconfig|ipadm|inet6?|alias|addif|chdev|IP_ADDRESS)\b")
_TAKES = re.compile(r"-alias\b|\b(delete|removeif|delete-addr|unplumb)\b")
_LOOPBACK = re.compile(r"\b(lo\d|vni\d+|lo0:\d+)\b")
_BINARY = re.compile(r"Binary file (?P<file>/.+) matches")  # grep of BSD
_HOST_MASK = r"(?:255\.255\.255\.255|(?:0x)?[fF]{8}|128)"


@dataclass(frozen=True, slots=True)
class BootLine:
    """A line of a boot file that names a cluster address; a binary file has no text."""

    file: str
    text: str

    @property
    def interface(self) -> str | None:
        """Return the interface that the file is for, if it is for one (hostname.em0)."""
        found = re.search(r"/(?:hostname6?|ifconfig|start_if)\.(\w+)", self.file)
        return found[1] if found else None


def question(files: Sequence[str], addresses: Iterable[Address]) -> Fact:
    """Return the question for every line of `files` (globs) that names one of the addresses."""
    patterns = "\n".join(str(address) for address in addresses)
    # Status 1 of fgrep is no error: no such line. With a second file it names the first.
    found = (
        f'for f in {" ".join(files)}; do if test -f "$f"; then fgrep \'{patterns}\' "$f" /dev/null;'
        " test $? -lt 2 || exit 1; fi; done; "
    )
    return Fact(NAME, Command.sh(f"{found if patterns and files else ''}echo end"))


def read(outputs: Mapping[str, Output]) -> tuple[BootLine, ...]:
    """Return the lines found; each once, though start scripts are linked from several folders.

    Raises:
        ParseError: The answer is cut off, or a line has no file.
    """
    found: dict[tuple[str | None, str], BootLine] = {}
    for line in parse.whole_lines(outputs, NAME):
        if binary := _BINARY.fullmatch(line.text.strip()):
            found[None, binary["file"]] = BootLine(binary["file"], "")
            continue
        file, colon, text = line.text.strip().partition(":")
        if re.fullmatch(r"/etc/hostname6?\.\w+", file) and re.match(r"\d{1,3}:", text):
            number, _, text = text.partition(":")  # a logical interface is part of the file's name
            file = f"{file}:{number}"
        if not colon or not file.startswith("/"):
            line.refuse("a line of a boot file without the file")
        named = BootLine(file, text.strip())
        found.setdefault((named.interface, named.text), named)
    return tuple(found.values())


def plan(lines: Iterable[BootLine], kept: frozenset[str], addresses: Iterable[Address]) -> Plan:
    """Return what is wrong with the lines that are not among those `kept` by the system itself."""
    wanted = tuple(addresses)
    return Plan(
        findings=tuple(
            finding
            for line in lines
            if not line.text.startswith(("#", "ifconfig_lo0_alias"))
            and not (line.text in kept and line.interface in {None, "lo0"})
            for address in wanted
            if (not line.text or names(line.text, address)) and (finding := _judged(line, address))
        )
    )


def names(text: str, address: Address) -> bool:
    """Return whether the address stands in the text, not merely within a longer one."""
    return bool(re.search(rf"(?<![\w.:]){re.escape(str(address))}(?![\w:]|\.\d)", text))


def is_host(text: str, address: Address) -> bool:
    """Return whether the text gives the address the mask of a host, in any of its forms."""
    there = re.escape(str(address))
    mask = rf"(/{address.max_prefixlen}|[ ,]+((netmask|prefix|prefixlen) +)?{_HOST_MASK})"
    return bool(re.search(rf"{there}{mask}(?!\w)", text))


def _judged(line: BootLine, address: Address) -> Finding | None:
    if not line.text:
        return _unclear(line, address)
    if _TAKES.search(line.text):
        return None
    if not _SETS.search(line.text) and not line.interface:
        return _unclear(line, address) if line.file.endswith(".plist") else None
    if not is_host(line.text, address):
        return Finding(
            Severity.ERROR,
            f"{line.file} adds {address} at boot, and not as a host address: `{line.text}`",
            "the next boot makes the wide mask, and with it the extra route, again",
            f"delete that line from {line.file}: Shunt keeps the address by itself",
        )
    if _LOOPBACK.search(line.interface or line.text):
        return None
    return Finding(
        Severity.ERROR,
        f"{line.file} adds {address} at boot to an interface that is no loopback: `{line.text}`",
        "from the next boot on, the interface answers ARP for it",
        f"delete that line from {line.file}: Shunt keeps the address by itself",
    )


def _unclear(line: BootLine, address: Address) -> Finding:
    return Finding(
        Severity.WARNING,
        f"{line.file} names {address}: `{line.text or 'binary data'}`",
        "if it adds the address at boot under another mask, the extra route comes back with it",
        f"look at {line.file}, and delete it if it adds the address: Shunt does that by itself",
    )
