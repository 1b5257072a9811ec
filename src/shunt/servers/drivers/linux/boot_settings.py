"""What the sysctl files of a host make of the wanted settings at its next boot, sysctl.d(5).

Files are read in the order of their names, whatever their directory. Of the lines for one key the
last one wins, also if it only excludes the key (`-key`). A pattern sets all keys that it matches
and that no line names. /etc/sysctl.conf is read by some and not by others: systemd-sysctl knows it
at most by a link, procps reads it last.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from shunt.servers.drivers.linux import files, silence
from shunt.servers.drivers.linux.commands import dotted
from shunt.servers.steps import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shunt.servers.drivers.linux.observed import Host, Setting
    from shunt.servers.wish import Wish

_CONF = "/etc/sysctl.conf"
_DEFAULT = "ipv4/conf/default/arp_ignore"
_LOUD = "the larger of this and net.ipv4.conf.all.arp_ignore counts, and it answers ARP"


def contradictions(host: Host, wish: Wish, values: Mapping[str, int]) -> Iterator[Finding]:
    """Yield the lines of other files that undo `values`, or the silence that they make."""
    others = [line for line in host.settings if line.file not in {files.SYSCTL, _CONF}]
    ordered = sorted(others, key=lambda line: _name(line.file))  # lines of one file stay in order
    conf = [line for line in host.settings if line.file == _CONF]
    later = [line for line in ordered if _name(line.file) > _name(files.SYSCTL)]
    for path, value in values.items():
        for lines, severity, why in (
            (later, Severity.ERROR, f"it is read after {files.SYSCTL}, and undoes it at boot"),
            (conf, Severity.WARNING, f"it may be read after {files.SYSCTL}, and undo it"),
        ):
            line = _last(lines, dotted(path))
            if line and not _does(host, wish, path, value, line.value):
                yield _finding(severity, line, why, value)
    if silence.IGNORE in values:
        yield from _loud(host, wish, values, [*ordered, *conf])


def _loud(
    host: Host, wish: Wish, values: Mapping[str, int], lines: Sequence[Setting]
) -> Iterator[Finding]:
    """Yield what makes one interface answer, though `all` is silent."""
    named = {silence.own_path(link): Severity.ERROR for link in host.wires}
    for path, severity in (named | {_DEFAULT: Severity.WARNING}).items():
        key = dotted(path)
        line = _last(lines, key) or _last_pattern(lines, key)
        if path in values or line is None or line.value is None or not line.value.isdigit():
            continue
        effective = max(values[silence.IGNORE], int(line.value))
        if not silence.keeps_silent(host, wish, effective):
            yield _finding(severity, line, _LOUD, values[silence.IGNORE])


def _does(host: Host, wish: Wish, path: str, wanted: int, value: str | None) -> bool:
    """Whether `value` does what the wanted one is for; None: the key is not set at all."""
    if value is None or not value.isdigit():
        return False
    same = int(value) == wanted
    return same or (path.endswith("/arp_ignore") and silence.keeps_silent(host, wish, int(value)))


def _last(lines: Sequence[Setting], key: str) -> Setting | None:
    return next((line for line in reversed(lines) if line.key == key), None)


def _last_pattern(lines: Sequence[Setting], key: str) -> Setting | None:
    return next((line for line in reversed(lines) if _matches(key, line.key)), None)


def _matches(key: str, pattern: str) -> bool:
    """Whether a pattern, glob(7), matches: each part by itself, as the directories they are."""
    parts, patterns = key.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _name(file: str) -> str:
    return file.rsplit("/", 1)[1]


def _finding(severity: Severity, line: Setting, why: str, wanted: int) -> Finding:
    did = f"sets {line.key} to {line.value}" if line.value is not None else f"excludes {line.key}"
    return Finding(
        severity,
        f"{line.file} {did}",
        why,
        f"set it to {wanted} there, or delete the line",
    )
