"""The record on a server: what Shunt has done there, and how each of it is undone.

It is written before a step is done, so that also a set-up that was killed half-way can be taken
back. Only root or an administrator can write it: its commands are executed on removal. On Windows,
where everybody may make folders beside it, whoever else owns it is not believed.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem
from shunt.servers import powershell
from shunt.servers.steps import Command, Fact, Output, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.model.addresses import Address
    from shunt.servers.wish import Wish

VERSION = 1
NAME = "record"
_WINDOWS = (OperatingSystem.WINDOWS, OperatingSystem.WINDOWS2003)


@dataclass(frozen=True, slots=True)
class Entry:
    """A step that was done, or was about to be."""

    id: str
    what: str
    undo: tuple[Command, ...]


def _serves_another(step: str, wanted: frozenset[Address]) -> bool:
    """Tell whether a step serves only other addresses than those wanted; see `Step.id`."""
    kind, _, about = step.partition(":")
    if kind not in {"alias", "keep"}:
        return False
    try:
        return ip_address(about) not in wanted
    except ValueError:  # about a file or a switch
        return not wanted


def _rank(entry: Entry) -> int:
    kind, _, about = entry.id.partition(":")
    # Linux holds an IPv4 address many times over, and while it does no route loses its source.
    if kind in {"take", "narrow"} and "@" in about and ":" not in about.partition("@")[0]:
        return 0
    return {"alias": 1, "silence": 3}.get(kind, 2)


@dataclass(frozen=True, slots=True)
class Record:
    """Everything that Shunt has done on one server, oldest first; each id once.

    `clusters` are the addresses that it was done for; the server may have held some before.
    """

    entries: tuple[Entry, ...] = ()
    clusters: tuple[Address, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """Return the ids of the steps that Shunt did."""
        return frozenset(entry.id for entry in self.entries)

    @property
    def addresses(self) -> frozenset[Address]:
        """Return every cluster address that something was done for."""
        about = (_address(entry.id.partition(":")[2]) for entry in self.entries)
        return frozenset((*self.clusters, *(address for address in about if address)))

    def with_steps(self, steps: Iterable[Step]) -> Record:
        """Return the record with `steps`; the undo of one stays what it was the first time."""
        known = self.ids
        fresh = (Entry(step.id, step.what, step.undo) for step in steps if step.id not in known)
        return replace(self, entries=(*self.entries, *fresh))

    def without(self, ids: Iterable[str]) -> Record:
        """Return the record without the steps named."""
        gone = frozenset(ids)
        return replace(self, entries=tuple(e for e in self.entries if e.id not in gone))

    def removal(self, ids: Iterable[str] | None = None) -> tuple[Entry, ...]:
        """Return the entries to undo (all, or those named), the newest first.

        Whatever the order in which they were done: an address that was taken is given back where
        the alias need not go first, aliases go before the rest, silence goes last.
        """
        chosen = self.ids if ids is None else frozenset(ids)
        entries = [entry for entry in reversed(self.entries) if entry.id in chosen]
        return tuple(sorted(entries, key=_rank))

    def stale(self, wanted: Iterable[Address], obsolete: Iterable[str] = ()) -> tuple[Entry, ...]:
        """Return what would let the server hold an address that nobody wants any more.

        These are the steps that add such an address, now or at the next boot; where no address is
        wanted, everything that the next boot would do; and what the plan has called `obsolete`.
        What took something away (a wide mask, an address on a NIC) stays until removal: giving it
        back would put the address where it is answered for.
        """
        keep = frozenset(wanted)
        chosen = {i for i in self.ids if _serves_another(i, keep)} | frozenset(obsolete)
        return self.removal(chosen)

    def dump(self) -> str:
        """Return the record as JSON text, which `parse` reads."""
        entries = [asdict(entry) for entry in self.entries]
        clusters = [str(address) for address in self.clusters]
        document = {"version": VERSION, "clusters": clusters, "entries": entries}
        return json.dumps(document, indent=1) + "\n"


def parse(output: Output) -> Record:
    """Return the record that a server holds; empty standard output means there is none.

    Raises:
        ParseError: It could not be read, is cut off, or was written by a later release.
    """
    if output.status and _FOREIGN in output.stderr:
        raise ParseError(
            f"the record of what Shunt did there is not trusted: {output.stderr.strip()}",
            hint="others may have written it, and it is run as root: look at it there; then give it"
            " to root (chown root, chmod 600; the folder 755), or remove it",
        )
    if output.status:
        raise ParseError(
            f"the record of what Shunt did could not be read: {output.stderr.strip()}",
            hint="it belongs to root: log in as root, or as a user who may use sudo",
        )
    if not output.stdout.strip():
        return Record()
    try:
        document = json.loads(output.stdout)
        if document["version"] != VERSION:
            raise ParseError(
                f"the record of what Shunt did has version {document['version']}",
                hint=f"this release reads {VERSION}; use the release that set the server up",
            )
        clusters = tuple(ip_address(text) for text in document.get("clusters", ()))
        return Record(tuple(_entry(item) for item in document["entries"]), clusters)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ParseError(
            f"the record of what Shunt did is damaged: {error!r}",
            hint="look at it on the server, and move it away if it is of no use any more",
        ) from error


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _entry(item: dict[str, list[dict[str, object]]]) -> Entry:
    undo = tuple(_command(command) for command in item["undo"])
    return Entry(str(item["id"]), str(item["what"]), undo)


def _command(item: dict[str, object]) -> Command:
    command = Command(**item)  # type: ignore[arg-type]  # checked by `replace` and the tuples below
    return replace(command, argv=tuple(command.argv), ok=tuple(command.ok))


def path(wish: Wish) -> str:
    """Return where a server keeps its record, for double quotes in a shell or for PowerShell.

    There is one a host, a partition or a namespace. A namespace does not outlive a reboot, nor
    shall its record. It has many names (a process, a path), so the kernel's number for it counts.
    That one is given again as soon as a namespace has gone, so the number of the kernel's own
    netlink socket in there goes with it, which is counted up for every socket of the machine.
    """
    server = wish.server
    if server.netns:
        number = "readlink /proc/self/ns/net | tr -dc 0-9"
        socket = "awk '$2 == 0 && $3 == 0 { print $NF; exit }' /proc/net/netlink"
        return f"/run/shunt/netns-$({number})-$({socket}).json"
    name = f"wpar-{_plain(server.wpar)}" if server.wpar else "server"
    if server.os in _WINDOWS:
        return rf"{powershell.FOLDER}\{name}.json"
    return f"/var/lib/shunt/{name}.json"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)


# What the record says is run as root: nobody else may write it, or have another put in its place.
# A link, which `ls` shows with an l, is none of ours. `set` splits the line of `ls -ldn`.
_FOREIGN = "is not root's alone"
_ROOTS = (
    'for p in "`dirname "$f"`" "$f"; do l=`ls -ldn "$p" 2>/dev/null`; set -- $l;'
    ' case "${1-none}:${3-0}" in none:0 | [!l]????-??-*:0) ;;'
    f' *) echo "$p {_FOREIGN}: its mode is $1, its owner $3" >&2; exit 1 ;; esac; done'
)


def read(wish: Wish) -> Fact:
    """Return the fact that `parse` reads."""
    where = path(wish)
    if wish.server.os in _WINDOWS:
        return Fact(NAME, _windows_read(where))
    return Fact(NAME, Command.sh(f'f="{where}"; {_ROOTS}; if [ -f "$f" ]; then cat "$f"; fi'))


def write(wish: Wish, record: Record) -> Command:
    """Return the command that stores `record`, or that removes the file of an empty one."""
    where = path(wish)
    if wish.server.os in _WINDOWS:
        return _windows_write(where, record)
    if not record.entries:
        # Namespaces share their directory, and another one may be about to write there.
        swept = "" if wish.server.netns else "; rmdir /var/lib/shunt 2>/dev/null || true"
        return Command.sh(f'rm -f "{where}"{swept}')
    stored = 'cat > "$f.new" && chmod 600 "$f.new" && mv -f "$f.new" "$f"'
    made = 'mkdir -p "`dirname "$f"`" || exit 1'
    return Command.sh(f'f="{where}"; {made}; {_ROOTS}; {stored}', stdin=record.dump())


def _windows_read(where: str) -> Command:
    return Command.powershell(
        f"{powershell.trusted(where)};"
        f" if (Test-Path '{where}') {{ Get-Content -Raw -Encoding UTF8 '{where}' }}"
    )


def _windows_write(where: str, record: Record) -> Command:
    if not record.entries:
        return Command.powershell(
            f"{powershell.trusted(where)}; Remove-Item -Force -ErrorAction Ignore '{where}'"
        )
    return Command.powershell(powershell.stored(where, record.dump()))
