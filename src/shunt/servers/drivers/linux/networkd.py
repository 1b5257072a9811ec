"""Where systemd-networkd keeps the aliases, so that they reach `lo` and nothing else.

A link gets the first .network file, by name, whose [Match] it fulfils, with the drop-ins of that
file (systemd.network(5)). So a drop-in serves every link that its file matches: it is right only
where the file matches `lo` alone. A file that `lo` shares with others (`Name=*` is usual) gets a
file of Shunt's own before it, for `lo` alone, with all that `lo` had from the shared one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shunt.model.addresses import Address
    from shunt.servers.drivers.linux.observed import Managers

FOLDER = "/etc/systemd/network"
_DROP_IN = "/50-shunt.conf"
# Each sorts before the one to its left; a name with `-` is before one that goes on with a figure.
_NAMES = tuple(f"{begin}shunt-lo.network" for begin in ("10-", "05-", "00-", "0-", "+"))
OWN = tuple(f"{FOLDER}/{name}" for name in _NAMES)
DROP_INS = f"{FOLDER}/*.network.d{_DROP_IN}"
_CARRIED = "# What lo had from the file that comes after this one:\n"
_YES = frozenset({"1", "yes", "y", "true", "t", "on"})  # systemd.syntax(7)
_NOT_UP = frozenset({"manual", "always-down", "down"})
_END = "# The cluster addresses:\n"


def path(managers: Managers) -> str | None:
    """Return where the aliases are kept: a drop-in, or a file of Shunt's own.

    None if no name of Shunt's own comes before the file that `lo` shares, or the file has networkd
    leave `lo` alone: that is somebody's will, and neither to be carried on nor to be overruled.
    """
    if leaves_alone(managers.networkd_texts):
        return None
    used = managers.networkd_file
    if used is None:
        return OWN[0]
    if used in OWN:
        return used
    name = used.rsplit("/", 1)[1]
    if only_loopback(managers.networkd_texts):
        return f"{FOLDER}/{name}.d{_DROP_IN}"
    return next((own for own in OWN if own.rsplit("/", 1)[1] < name), None)


def text(managers: Managers, addresses: Iterable[Address]) -> str:
    """Return what stands in the file that `path` names, without the head of Shunt's files."""
    sections = "\n".join(
        f"[Address]\nAddress={a}/{a.max_prefixlen}\n"
        + ("Scope=host\n" if a.version == 4 else "PreferredLifetime=0\n")
        for a in addresses
    )
    where = path(managers)
    if where is not None and where.endswith(_DROP_IN):
        return sections
    head = "[Match]\nName=lo\n\n"
    carried = _carried(managers)
    if not carried:
        return f"{head}[Network]\nKeepConfiguration=static\n\n{sections}"
    return f"{head}{_CARRIED}{carried}{_END}{sections}"


def only_loopback(texts: Iterable[str]) -> bool:
    """Return whether a .network file, with its drop-ins, matches `lo` and can match nothing else.

    All conditions of [Match] must hold, so one that only the loopback fulfils is enough: the name
    `lo` without a pattern, or the type `loopback`, of which there is one link.
    """
    names: list[str] = []
    types: list[str] = []
    for section, key, value in _settings(texts):
        for wanted, found in (("Name", names), ("Type", types)):
            if (section, key) == ("Match", wanted):
                words = [word.strip("\"'") for word in value.split()]
                found[:] = [*found, *words] if words else []  # an empty value forgets the others
    return set(names) == {"lo"} or set(types) == {"loopback"}


def leaves_alone(texts: Iterable[str]) -> bool:
    """Return whether networkd ignores the link, or does not bring it up: then it adds no address.

    systemd.network(5), Unmanaged= and ActivationPolicy= of [Link]; the last one counts.
    """
    last = {key: value for section, key, value in _settings(texts) if section == "Link"}
    unmanaged = last.get("Unmanaged", "").lower() in _YES
    return unmanaged or last.get("ActivationPolicy") in _NOT_UP


def _settings(texts: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (section, key, value) of every line, systemd.syntax(7)."""
    for one in texts:
        section = ""
        for line in _lines(one):
            if line.startswith("["):
                section = line.strip("[]")
            elif "=" in line:
                key, _, value = line.partition("=")
                yield section, key.strip(), value.strip()


def _lines(one: str) -> Iterator[str]:
    """Yield the lines that count; a backslash at its end joins a line with the next one."""
    begun = ""
    for raw in one.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")):
            continue
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        if begun + line:
            yield begun + line
        begun = ""


def _carried(managers: Managers) -> str:
    """Return the sections that `lo` has from a file that others share, without [Match]."""
    if managers.networkd_file in OWN:
        _, _, rest = "".join(managers.networkd_texts).partition(_CARRIED)
        return rest.partition(_END)[0]
    lines: list[str] = []
    for one in managers.networkd_texts:
        wanted = False
        for line in _lines(one):
            if line.startswith("["):
                wanted = line != "[Match]"
            if wanted:
                lines.append(f"{line}\n")
    return "".join(lines)
