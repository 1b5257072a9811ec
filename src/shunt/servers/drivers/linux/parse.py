"""The strict parsers of what a Linux server answers. What they do not know, they refuse."""

from __future__ import annotations

import base64
import json
import re
from ipaddress import IPv4Network, IPv6Network, ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from shunt.errors import ParseError
from shunt.servers.drivers.linux import kernel
from shunt.servers.drivers.linux.commands import dotted
from shunt.servers.drivers.linux.observed import (
    Held,
    Host,
    Link,
    Managers,
    Network,
    Proxy,
    Route,
    Rule,
    Setting,
)
from shunt.servers.record import parse as parse_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from shunt.model.addresses import Address
    from shunt.servers.steps import Output

Row = TypeVar("Row")


class _Filters(NamedTuple):
    """Addresses for which ARP is dropped *and* rewritten, or that are redirected; and by whom."""

    silent: frozenset[Address]
    tabled: frozenset[Address]
    redirected: frozenset[Address]


_SETTING = re.compile(r"\s*(?P<minus>-?)\s*(?P<key>net[./][^=\s]*)\s*(?:=(?P<value>.*))?", re.ASCII)
_NAME = re.compile(r"[\w.:@+-]{1,15}")
_REQUIRED = ("ipv4/ip_forward", "ipv4/conf/all/arp_ignore", "ipv4/conf/all/arp_announce")
_KEYS_THAT_SELECT = frozenset(
    {"src", "dst", "iif", "oif", "fwmark", "ipproto", "sport", "dport", "tos", "uid_range"}
    | {"tun_id", "not", "l3mdev", "dsfield", "iif_detached", "oif_detached"}
)
_ROUTE_WORDS = (("tos", "tos"), ("metric", "metric"), ("protocol", "proto"), ("scope", "scope"))


def host(outputs: Mapping[str, Output]) -> Host:
    """Return what the outputs of `facts.facts` say.

    Raises:
        ParseError: An output is missing, failed, cut off or in an unknown form.
    """
    values, writable = _values(_text(outputs, "values"))
    filters = _filters(list(_lines(outputs, "filters")))
    return Host(
        links=_links(outputs),
        routes=(*_rows(outputs, "routes4", _route4), *_rows(outputs, "routes6", _route6)),
        rules=(*_rows(outputs, "rules4", _rule4), *_rows(outputs, "rules6", _rule6)),
        proxies=(*_rows(outputs, "proxies4", _proxy), *_rows(outputs, "proxies6", _proxy)),
        values=values,
        writable=writable,
        tools=frozenset(_lines(outputs, "tools")),
        managers=_managers(list(_lines(outputs, "managers"))),
        settings=tuple(_settings(_lines(outputs, "settings"))),
        files=MappingProxyType(dict(_file(line) for line in _lines(outputs, "files"))),
        filtered=filters.silent,
        in_arp_table=filters.tabled,
        redirected=filters.redirected,
        lookups=kernel.parse(_lines(outputs, kernel.NAME)),
        record=parse_record(outputs["record"]),
    )


def _text(outputs: Mapping[str, Output], name: str) -> str:
    output = outputs.get(name)
    if output is None:
        raise ParseError(f"the fact {name!r} was not asked")
    if output.status or not output.stdout.strip():
        said = output.stderr.strip() or "it printed nothing"
        raise ParseError(
            f"the fact {name!r} could not be read (status {output.status}): {said}",
            hint="iproute2 4.14 or newer, awk and base64 are needed on the server",
        )
    return output.stdout


def _rows(
    outputs: Mapping[str, Output], name: str, read: Callable[[dict[str, Any]], Row]
) -> tuple[Row, ...]:
    text = _text(outputs, name)
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise ParseError(f"the fact {name!r} is no JSON: {error}") from error
    if not isinstance(rows, list):
        raise ParseError(f"the fact {name!r} is no list of rows")
    result = []
    for row in rows:
        if row == {}:  # what iproute2's own filter left out
            continue
        try:
            result.append(read(row))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ParseError(f"the fact {name!r} has a row not understood: {row}") from error
    return tuple(result)


def _lines(outputs: Mapping[str, Output], name: str) -> Iterator[str]:
    lines = _text(outputs, name).splitlines()
    if lines[-1] != "end":
        raise ParseError(f"the fact {name!r} is cut off after {lines[-1]!r}")
    yield from lines[:-1]


def _network(text: str, version: int) -> Network:
    if text in {"default", "all"}:
        text = "0.0.0.0/0" if version == 4 else "::/0"
    return IPv4Network(text) if version == 4 else IPv6Network(text)


def _links(outputs: Mapping[str, Output]) -> tuple[Link, ...]:
    links = _rows(outputs, "links", _link)
    if not any(link.loopback for link in links):
        raise ParseError("the fact 'links' has no loopback interface: every Linux host has one")
    return links


def _link(item: dict[str, Any]) -> Link:
    flags, name = item["flags"], item["ifname"]
    if not _NAME.fullmatch(name):
        raise ValueError(f"interface {name!r}: such names are refused, for they end up in commands")
    return Link(
        name=name,
        up="UP" in flags,
        loopback="LOOPBACK" in flags,
        arp="NOARP" not in flags,
        kind=item.get("linkinfo", {}).get("info_kind", ""),
        addresses=tuple(_held(entry) for entry in item["addr_info"] if entry and "local" in entry),
        master=item.get("master"),
    )


def _held(entry: dict[str, Any]) -> Held:
    return Held(
        ip_address(entry["local"]),
        int(entry["prefixlen"]),
        str(entry["scope"]),
        secondary=bool(entry.get("secondary")),
        deprecated=bool(entry.get("deprecated")),
        label=str(entry.get("label", "")),
    )


def _route4(item: dict[str, Any]) -> Route:
    return _route(item, 4)


def _route6(item: dict[str, Any]) -> Route:
    return _route(item, 6)


def _route(item: dict[str, Any], version: int) -> Route:
    kind, table = item.get("type", "unicast"), str(item.get("table", "main"))
    via = item.get("via", {}).get("host")  # an IPv4 route by an IPv6 gateway (RFC 5549)
    gateway = item.get("gateway", via)
    words = [] if kind == "unicast" else [kind]
    words.append(item["dst"])
    if "nhid" in item:  # the next hop is told besides, and is not taken with its id
        words += ["nhid", str(item["nhid"])]
    for key, word in (("gateway", "via"), ("dev", "dev")):
        if key in item and "nhid" not in item:
            words += [word, item[key]]
    words += ["table", table]
    for key, word in _ROUTE_WORDS:
        if item.get(key) and not (version == 6 and key == "scope"):
            words += [word, str(item[key])]
    if "prefsrc" in item:
        words += ["src", item["prefsrc"]]
    return Route(
        destination=_network(item["dst"], version),
        table=table,
        type=kind,
        device=item.get("dev"),
        gateway=ip_address(gateway) if gateway else None,
        source=ip_address(item["prefsrc"]) if "prefsrc" in item else None,
        words=tuple(words),
    )


def _rule4(item: dict[str, Any]) -> Rule:
    return _rule(item, 4)


def _rule6(item: dict[str, Any]) -> Rule:
    return _rule(item, 6)


def _rule(item: dict[str, Any], version: int) -> Rule:
    selectors = {
        key for key in _KEYS_THAT_SELECT & item.keys() if key != "src" or item["src"] != "all"
    }
    table = str(item.get("table", item.get("action", "none")))
    return Rule(version, int(item["priority"]), table, everything=not selectors)


def _proxy(item: dict[str, Any]) -> Proxy:
    return Proxy(ip_address(item["dst"]), item["dev"])


def _values(text: str) -> tuple[Mapping[str, int], bool]:
    values: dict[str, int] = {}
    mount = None
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if key == "mount":
            mount = value
        elif colon and value.strip().lstrip("-").isdigit():
            values[key] = int(value)
        else:
            raise ParseError(f"a kernel setting is not understood: {line!r}")
    missing = [key for key in _REQUIRED if key not in values]
    if missing or mount not in {"rw", "ro"}:
        raise ParseError(
            f"the kernel's settings are incomplete: {', '.join(missing) or 'cut off at the end'}",
            hint="/proc must be mounted, and `grep` and `awk` must be there",
        )
    return MappingProxyType(values), mount != "ro"


def _managers(lines: list[str]) -> Managers:
    strange = [line for line in lines if "=" not in line]
    if strange:
        raise ParseError(f"what is told of a network manager is not understood: {strange[0]!r}")
    found = dict(line.split("=", 1) for line in lines)
    version = found.get("network-manager")
    numbers = re.match(r"(\d+)\.(\d+)", version) if version else None
    if version and not numbers:
        raise ParseError(f"NetworkManager's version is not understood: {version!r}")
    return Managers(
        systemd="systemd" in found,
        networkd="networkd" in found,
        netplan="netplan" in found,
        ifupdown="ifupdown" in found,
        ifcfg="ifcfg" in found,
        network_manager=(int(numbers[1]), int(numbers[2])) if numbers else None,
        networkd_file=found.get("networkd-file"),
        networkd_texts=_networkd_texts(lines),
        loopback_profile=found.get("loopback-profile"),
        profile_addresses=frozenset(found.get("profile-addresses", "").split()),
        unheeded=frozenset(
            line.partition("=")[2] for line in lines if line.startswith("unheeded=")
        ),
    )


def _networkd_texts(lines: list[str]) -> tuple[str, ...]:
    """Return the text of the file for `lo`, then those of its drop-ins by their names."""
    first = [line for line in lines if line.startswith("networkd-text=")]
    parts = sorted(line for line in lines if line.startswith("networkd-part="))
    if len(first) != any(line.startswith("networkd-file=") for line in lines):
        raise ParseError("the text of systemd-networkd's file for lo is missing")
    named = [*(line.replace("=", " ", 1) for line in first), *(p.partition("=")[2] for p in parts)]
    return tuple(text for _, text in map(_file, named) if text is not None)


def _settings(lines: Iterable[str]) -> Iterator[Setting]:
    for line in lines:
        file, _, text = line.partition(":")
        found = _SETTING.fullmatch(text)
        if not found:
            raise ParseError(f"a line of a sysctl file is not understood: {line!r}")
        value = found["value"]
        if value is None and not found["minus"]:
            continue  # no assignment and no exclusion: whoever reads these files passes over it
        yield Setting(file, _dotted(found["key"]), None if value is None else value.strip())


def _dotted(key: str) -> str:
    """Return a key in the form of `commands.dotted`; its first separator tells which it has."""
    slashes = key if key[len("net")] == "/" else key.translate(str.maketrans("./", "/."))
    return dotted(slashes.removeprefix("net/"))


def _file(line: str) -> tuple[str, str | None]:
    path, _, content = line.partition(" ")
    if content == "-":
        return path, None
    if not content.endswith("."):
        raise ParseError(f"the content of {path} is cut off")
    try:
        text = base64.b64decode(content[:-1], validate=True)
    except ValueError as error:
        raise ParseError(f"the content of {path} is not understood: {error}") from error
    return path, text.decode("utf-8", errors="surrogateescape")


def _filters(lines: list[str]) -> _Filters:
    dropped: set[Address] = set()
    rewritten: set[Address] = set()
    tabled: set[Address] = set()
    redirected: set[Address] = set()
    for line in lines:
        for pattern, places in (
            (r"arp daddr ip (\S+) .*drop", (dropped, tabled)),
            (r"arp saddr ip (\S+) .*set", (rewritten, tabled)),
            (r"-j DROP (?:.* )?(?<!! )-d (\S+)", (dropped,)),
            (r"-j mangle (?:.* )?(?<!! )-s (\S+)", (rewritten,)),
            (r"ip6? daddr (\S+) redirect", (redirected,)),
        ):
            found = re.search(pattern, line)
            if found and "/" not in found[1]:  # whole networks are somebody else's
                for place in places:
                    place.add(_address(found[1], line))
    silent = frozenset((dropped & rewritten) | redirected)
    return _Filters(silent, frozenset(tabled), frozenset(redirected))


def _address(text: str, line: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise ParseError(f"a packet filter's rule is not understood: {line!r}") from error
