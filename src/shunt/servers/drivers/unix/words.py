"""Shell words that every Unix understands, the Bourne shell of Solaris 10 included.

So: backquotes, no `!`, `fgrep -x` instead of options that not every `grep` has.
"""

from __future__ import annotations

import shlex
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from shunt.servers.steps import Command

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.model.addresses import Address
    from shunt.servers.routes.rows import Route


MARK = "# Made by Shunt."


def shown(address: Address, listing: str = "ifconfig lo0", *, prefix: int | None = None) -> str:
    """Return words: does `listing` show the address under `prefix`, by default a host's?

    Masks are told in all the forms of `ifconfig`: /32, 0xffffffff, ffffffff, prefixlen 128.
    """
    bits = address.max_prefixlen if prefix is None else prefix
    name = str(address).replace(".", r"\.")
    if address.version == 4:
        mask = int(IPv4Network((0, bits)).netmask)
        return f"{listing} | egrep 'inet {name}(/{bits}| netmask (0x)?{mask:08x})' >/dev/null"
    return f"{listing} | egrep 'inet6 {name}(%[a-z0-9]*)?(/| prefix(len)? ){bits}' >/dev/null"


def held(address: Address, listing: str) -> str:
    """Return words: does `listing` show the address, under whatever mask?"""
    name = str(address).replace(".", r"\.")
    start = f"inet {name}" if address.version == 4 else f"inet6 {name}(%[a-z0-9]*)?"
    return f"{listing} | egrep '{start}(/| netmask | prefix(len)? )' >/dev/null"


def wide(address: Address, listing: str) -> str:
    """Return words: does `listing` show the address under another mask than a host's?"""
    name = str(address).replace(".", r"\.")
    if address.version == 4:
        start, mask = f"inet {name}", "(/32| netmask (0x)?ffffffff)"
        any_mask = "(/| netmask )"
    else:
        start, mask = f"inet6 {name}(%[a-z0-9]*)?", "(/| prefix(len)? )128"
        any_mask = "(/| prefix(len)? )"
    return f"{listing} | egrep '{start}{any_mask}' | egrep -v '{start}{mask}' >/dev/null"


def when(condition: str, words: str, *, asked: str = "") -> Command:
    """Return a command that does `words` only if `condition` is true, and else is content.

    `asked` is the command whose output the condition looks at: a pipe hides that it failed, so it
    is run once more, and if it fails the command does.
    """
    return Command.sh(f"{_must(asked)}if {condition}; then {words}; fi")


def unless(condition: str, words: str, *, asked: str = "") -> Command:
    """Return a command that does `words` only if `condition` is false; `asked` is as in `when`."""
    return Command.sh(f"{_must(asked)}{condition} || {words}")


def false_is_right(condition: str, *, asked: str = "") -> Command:
    """Return the check that `condition` does not hold; `asked` is as in `when`."""
    return Command.sh(f"{_must(asked)}if {condition}; then false; else true; fi")


def _must(asked: str) -> str:
    return f"{asked} >/dev/null || exit 1; " if asked else ""


def has_line(file: str, line: str) -> str:
    """Return words that are true if `file` has exactly this line."""
    return f"fgrep -x {shlex.quote(line)} {file} >/dev/null 2>&1"


def contents(*files: str) -> str:
    """Return words that print those of the files (also globs) that exist, or exit with 1."""
    return f"for f in {' '.join(files)}; do test ! -f $f || cat $f || exit 1; done"


def add_line(file: str, line: str) -> Command:
    """Return the command that appends a line to a file unless it is there.

    A file that has to be made begins with a mark, so that `drop_line` can take it away again.
    """
    make = f"test -f {file} || echo {shlex.quote(MARK)} > {file}"
    return unless(has_line(file, line), f"{{ {make}; echo {shlex.quote(line)} >> {file}; }}")


def drop_line(file: str, line: str) -> Command:
    """Return the command that takes a line out of a file and leaves the rest as it was.

    The file is emptied and filled, so that its owner and mode stay. If nothing but the mark of
    `add_line` is left, the file goes.
    """
    copy = f"{file}.shunt-old"
    bare = f'test "`cat {file}`" = {shlex.quote(MARK)}'
    return when(
        has_line(file, line),
        f"cp {file} {copy} && {{ fgrep -v -x {shlex.quote(line)} {copy} > {file} || true; }}"
        f" && rm -f {copy} && if {bare}; then rm -f {file}; fi",
    )


def write(file: str, content: str, *, mode: str = "644") -> Command:
    """Return the command that makes a file of Shunt's own, all or nothing."""
    new = f"{file}.shunt-new"
    line = f"cat > {new} && chmod {mode} {new} && mv -f {new} {file}"
    return Command(("sh", "-c", line), content, file=file)


def listed(route: Route, listing: str) -> str:
    """Return words that are true if `listing` has the row, also where it wraps."""
    key = route.gateway or route.interface
    return (
        f'{listing} | awk \'$1 == "{route.written}" {{ n = 1 }}'
        f' n {{ for (i = 1; i <= NF; i++) if ($i == "{key}") f = 1 }}'
        " NF > 1 { n = 0 } END { exit 1 - f }'"
    )


def answers(questions: Iterable[tuple[str, str]], alive: str) -> Command:
    """Return the command that prints `name=value` for each (name, words that print the value).

    `alive` are words that succeed on every release: only then is a setting without a value one that
    this release does not have.
    """
    lines = [f'v=`{words} 2>/dev/null` || v=absent; echo "{name}=$v"' for name, words in questions]
    first = [f"{alive} >/dev/null || exit 1"] if lines else []
    return Command.sh("\n".join([*first, *lines, "echo end"]))
