"""Advisors by name: those that Shunt brings, and plug-ins (entry points `shunt.advisors`)."""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from importlib import machinery, metadata
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from shunt import trust
from shunt.advisors.advisor import Advisor
from shunt.advisors.dialogue import shown
from shunt.advisors.settings import nearest
from shunt.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GROUP = "shunt.advisors"
_PROTOCOLS = "shunt.advisors.protocols"
_SUFFIXES = tuple(machinery.all_suffixes())
_MAX_PLACES = 10_000  # files and folders of one plug-in's package

BUILT_IN: Mapping[str, str] = {
    "connect": f"{_PROTOCOLS}.connect:Connect",
    "ping": f"{_PROTOCOLS}.ping:Ping",
    "tcp": f"{_PROTOCOLS}.plain:Tcp",
    "udp": f"{_PROTOCOLS}.plain:Udp",
    "http": f"{_PROTOCOLS}.http:Http",
    "https": f"{_PROTOCOLS}.http:Https",
    "ssl": f"{_PROTOCOLS}.ssl:Ssl",
    "dns": f"{_PROTOCOLS}.dns:Dns",
    "smtp": f"{_PROTOCOLS}.smtp:Smtp",
    "imap": f"{_PROTOCOLS}.imap:Imap",
    "pop3": f"{_PROTOCOLS}.pop3:Pop3",
    "ftp": f"{_PROTOCOLS}.ftp:Ftp",
    "nntp": f"{_PROTOCOLS}.nntp:Nntp",
    "telnet": f"{_PROTOCOLS}.telnet:Telnet",
    "ldap": f"{_PROTOCOLS}.ldap:Ldap",
    "sip": f"{_PROTOCOLS}.sip:Sip",
    "redis": f"{_PROTOCOLS}.redis:Redis",
    "mysql": f"{_PROTOCOLS}.mysql:Mysql",
    "postgres": f"{_PROTOCOLS}.postgres:Postgres",
    "grpc": f"{_PROTOCOLS}.grpc:Grpc",
    "exec": f"{_PROTOCOLS}.exec:Exec",
    "agent": "shunt.advisors.agent:Agent",
    "prometheus": "shunt.advisors.prometheus:Prometheus",
}


@cache
def plug_ins() -> Mapping[str, metadata.EntryPoint]:
    """Return the installed plug-ins by name; a name that Shunt has itself is not taken over."""
    found = metadata.entry_points(group=GROUP)
    return {point.name: point for point in found if point.name not in BUILT_IN}


def names() -> tuple[str, ...]:
    """Return every name that `find` knows."""
    return (*BUILT_IN, *plug_ins())


@cache
def find(name: str) -> type[Advisor]:
    """Return the advisor's class.

    Raises:
        UsageError: there is none of this name, or the plug-in cannot be used.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        assert isinstance(found, type)
        assert issubclass(found, Advisor)
        return found
    point = plug_ins().get(name)
    if point is None:
        near = nearest(name, names())
        right = f"did you mean `{near}`?" if near else f"there is {', '.join(names())}"
        raise UsageError(f"no advisor is called `{shown(name, 80)}`; {right}")
    return _plug_in(point)


def about(name: str) -> str:
    """Return an advisor's first sentence; of a plug-in that cannot be used, why not."""
    try:
        found = find(name)
    except UsageError as error:
        return shown(error.message, 300)
    return (found.__doc__ or "").strip().partition("\n")[0]


def _plug_in(point: metadata.EntryPoint) -> type[Advisor]:
    try:
        why = _fault(point.module)
    except (OSError, ValueError) as error:  # a folder that cannot be read, a name that is none
        why = f"whether only root may change it cannot be told: {error}"
    if why:
        raise UsageError(
            f"the advisor `{point.name}` ({point.value}) is not loaded: its code would be run, and"
            f" {why}",
            hint="give it, and the folders that it is in, to root",
        )
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"the advisor `{point.name}` ({point.value}) cannot be loaded: {error}",
            hint="mend or remove the package that brings it",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Advisor)):
        raise UsageError(
            f"the advisor `{point.name}` ({point.value}) is no subclass of "
            "shunt.advisors.advisor.Advisor"
        )
    return found


def _fault(module: str) -> str | None:
    """Return why others may change a plug-in's code, found without running any of it.

    To load one module runs the `__init__` of each package that it is in, and whatever it imports;
    so all code of its outermost package counts. What it imports from other packages does not: it
    is installed for others as well.
    """
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None:
        return None  # loading it says why it cannot be
    origin = [Path(spec.origin)] if spec.origin else []  # a namespace package has none
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    places = islice(chain(origin, folders, *map(_code, folders)), _MAX_PLACES + 1)
    for number, place in enumerate(places, 1):
        if number > _MAX_PLACES:
            return f"its package has more than {_MAX_PLACES} files, which are not all looked at"
        if why := trust.fault(place):
            return why
    return None


def _code(folder: Path) -> Iterator[Path]:
    """Yield every folder below, and every file that Python would take for a module's code."""
    walked: set[str] = set()
    for here, below, files in os.walk(folder, followlinks=True, onerror=_raised):
        real = os.path.realpath(here)
        if real in walked:  # links may lead in a circle
            below.clear()
            continue
        walked.add(real)
        yield from (Path(here, name) for name in below)
        yield from (Path(here, name) for name in files if name.endswith(_SUFFIXES))


def _raised(error: OSError) -> None:
    raise error
