"""`shunt advisor`: which advisors there are, what they take, and one check by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from shunt.cli.output import Output
from shunt.errors import HostError, UsageError
from shunt.letters import is_seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shunt.advisors.check import Check
    from shunt.model.addresses import Address

app = App(name="advisor", help="List advisors, explain their settings, make one check by hand.")

_FILE = Path("/etc/shunt/shunt.yaml")
_LONGEST = 4000
_CODES: dict[bool | None, int] = {True: 0, False: 1}
Flag = Annotated[bool, Parameter(negative=())]


@app.command(name="list")
def list_(*, json: Flag = False) -> int:
    """List every advisor, plug-ins included.

    Args:
        json: print one JSON document.
    """
    from shunt.advisors import registry

    out = Output(json=json)
    found = {name: registry.about(name) for name in registry.names()}
    out.document(found)
    for name, about in found.items():
        out.text(f"{name:<11} {about}")
    return 0


@app.command
def show(name: str, *, json: Flag = False) -> int:
    """Explain an advisor's settings.

    For example: `shunt advisor show https`

    Args:
        name: of the advisor.
        json: print one JSON document.
    """
    from dataclasses import MISSING

    from shunt.advisors import check, registry, settings

    out = Output(json=json)
    found = registry.find(name)
    keys = settings.meanings(found) | settings.meanings(check.Common)
    rows = {
        key: {"default": None if default is MISSING else _written(default), "meaning": meaning}
        for key, (default, meaning) in keys.items()
    }
    about = registry.about(name)
    out.document({"name": name, "about": about, "port": found.usual_port, "settings": rows})
    out.text(f"{name}: {about}")
    for key, row in rows.items():
        default = "" if row["default"] in {None, ""} else f" [{row['default']}]"
        out.text(f"  {key:<16} {row['meaning']}{default}")
    return 0


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(map(_written, value))
    if isinstance(value, range):
        return f"{value.start}-{value.stop - 1}"
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return "" if value is None else str(getattr(value, "text", value))


@app.command
def run(
    kind: str,
    place: str,
    *settings: str,
    server: str | None = None,
    config: Annotated[Path, Parameter(name=("-c", "--config"))] = _FILE,
    root: Annotated[Path | None, Parameter(name="--root")] = None,
    json: Flag = False,
) -> int:
    """Make one check and show the dialogue.

    With --server it asks the cluster address at that server, along the way that requests take, or
    with at=server that server's own address; without --server it asks whoever has the address.
    Settings are written KEY=VALUE; a key that is given again makes a list.

    Leaves with 0 if the server works, 1 if not, 3 if the check could not be made.

    Examples:
        shunt advisor run http 192.0.2.10:80 --server a

        shunt advisor run http 192.0.2.10:80 at=server --server a

        shunt advisor run https [2001:db8::10]:443 verify=yes server_name=www.example

        shunt advisor run exec 192.0.2.21 command=/usr/bin/nc command=-z command=%a command=22

    Args:
        kind: the advisor: http, ping, ...
        place: ADDRESS or ADDRESS:PORT.
        settings: of the advisor, KEY=VALUE.
        server: at which server; its name in the configuration.
        config: the configuration file, where no daemon runs.
        root: as for `shunt up`.
        json: print one JSON document.
    """
    from shunt.dispatcher.places import places

    out = Output(json=json)
    address, port = _place(place)
    found = _made(kind, _settings(settings), address, port, server, config, places(root).socket)
    out.document(found)
    _whole(out, found)
    return _CODES.get(found["up"], 3)


@app.command(name="run-service")
def run_service(
    place: str,
    *,
    server: str,
    config: Annotated[Path, Parameter(name=("-c", "--config"))] = _FILE,
    root: Annotated[Path | None, Parameter(name="--root")] = None,
    json: Flag = False,
) -> int:
    """Make all checks of a service at one server, as the file has them, and show the dialogues.

    Leaves with 0 if the server works by the service's rule (`advisors_required`), 1 if not, 3 if
    that cannot be told because a check could not be made.

    For example: `shunt advisor run-service 192.0.2.10:80 --server a`

    Args:
        place: ADDRESS:PORT of the service; ADDRESS alone for any port.
        server: at which server; its name in the configuration.
        config: the configuration file, which has the settings.
        root: as for `shunt up`.
        json: print one JSON document.
    """
    from shunt.config import load
    from shunt.dispatcher.places import places
    from shunt.model.config import AdvisorsRequired

    out = Output(json=json)
    address, port = _place(place)
    services = [s for s in load(config).services if (s.address, s.port) == (address, port)]
    if not services:
        raise UsageError(f"{config} has no service at {place}")
    checks = []
    for service in services:
        if not service.advisors:
            raise UsageError(f"the service {service.name} has no advisor in {config}")
        for advisor in service.advisors:
            found = _made(advisor.type, dict(advisor.settings), address, port, server, config,
                          places(root).socket)  # fmt: skip
            checks.append({"service": service.name, "advisor": advisor.type} | found)
    results = [
        together(
            [each["up"] for each in checks if each["service"] == service.name],
            every=service.advisors_required is AdvisorsRequired.ALL,
        )
        for service in services
    ]
    up = together(results, every=True)
    out.document({"up": up, "checks": checks})
    for each in checks:
        out.text(f"{each['service']}, advisor {each['advisor']}:")
        _whole(out, each)
    return _CODES.get(up, 3)


def together(results: Sequence[bool | None], *, every: bool) -> bool | None:
    """Return what several checks say together; None: it cannot be told.

    Args:
        results: of each check; None: it could not be made.
        every: all must find the server well; else one is enough.
    """
    decisive = not every  # one result that decides whatever the others are
    if decisive in results:
        return decisive
    return None if None in results else not decisive


def _made(
    kind: str,
    given: Mapping[str, Any],
    address: Address,
    port: int,
    server: str | None,
    config: Path,
    socket: Path,
) -> dict[str, Any]:
    """Return what a check found: made by the daemon, or by ourselves where none runs."""
    from shunt.advisors.check import make
    from shunt.dispatcher.control import PATIENCE, is_served, request

    check = make(kind, given, port=port)
    if server is None:
        _refuse_ourselves(socket, address)
        return _directly(check, address, port)
    if is_served(socket):
        found: dict[str, Any] = request(
            socket, "advise", patience=PATIENCE + _longest(check), kind=kind, settings=given,
            address=str(address), port=port, server=server,
        )  # fmt: skip
        return found
    return _along(check, address, port, server, config)


def _whole(out: Output, found: Mapping[str, Any]) -> None:
    for direction, said in found["dialogue"]:
        _show(out, direction, said)
    _verdict(out, found)


def _longest(check: Check) -> float:
    """Return the seconds after which a check has given up by itself."""
    return check.connect_timeout * check.connect_tries + check.receive_timeout


def _refuse_ourselves(socket: Path, address: Address) -> None:
    """Refuse a check of a cluster address from its own dispatcher, which it would not leave.

    Raises:
        UsageError: the daemon that runs here has this cluster address.
    """
    from shunt.dispatcher.control import is_served, request

    if not is_served(socket):
        return
    try:
        addresses = request(socket, "configuration")["cluster_addresses"]
    except HostError:  # not for us to know
        return
    if str(address) in addresses:
        raise UsageError(
            f"{address} is a cluster address of the dispatcher that runs here: it answers others, "
            "not this host",
            hint="add --server NAME, to ask a server that holds it",
        )


def _directly(check: Check, address: Address, port: int) -> dict[str, Any]:
    import asyncio

    from shunt.dispatcher.health_once import directly

    return asyncio.run(directly(check, check.target(address, port))).document()


def _along(check: Check, address: Address, port: int, server: str, config: Path) -> dict[str, Any]:
    """Lay a path for one check, where no daemon runs."""
    import asyncio

    from shunt.config import load
    from shunt.dispatcher.health_once import aim, alone

    return asyncio.run(alone(check, aim(load(config), check, address, port, server))).document()


def _place(word: str) -> tuple[Address, int]:
    """Return address and port, 0 for none, of `192.0.2.1:80`, `[2001:db8::1]:80` or an address."""
    from ipaddress import ip_address

    host, port = word, ""
    if word.startswith("["):
        host, _, port = word[1:].partition("]")
        port = port.removeprefix(":")
    elif word.count(":") == 1:
        host, _, port = word.partition(":")
    try:
        found = ip_address(host)
        number = int(port) if port else 0
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise UsageError(
            f"{word!r} is no place to ask", hint="write 192.0.2.10:80 or [2001:db8::10]:80"
        )
    return found, number


def _settings(words: tuple[str, ...]) -> dict[str, str | list[str]]:
    """Return settings by key; the values of a key that is given more than once as a list."""
    found: dict[str, list[str]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{word!r} is no setting", hint="write KEY=VALUE, as in expect=200")
        found.setdefault(key, []).append(value)
    return {key: values if len(values) > 1 else values[0] for key, values in found.items()}


def _show(out: Output, direction: str, said: str) -> None:
    if not said:
        out.text("< (closes the connection)")
        return
    printable = sum(letter.isprintable() or letter in "\r\n\t" for letter in said)
    if printable * 10 < len(said) * 9:
        out.text(f"{direction} {len(said)} bytes: {said[:64].encode('latin-1').hex(' ')}")
        return
    for line in said[:_LONGEST].splitlines():
        out.text(f"{direction} {''.join(c if is_seen(c) else '·' for c in line)}")


def _verdict(out: Output, found: Mapping[str, Any]) -> None:
    word = {True: "[green]up[/]", False: "[red]down[/]"}.get(found["up"], "[yellow]not told[/]")
    load = "" if found["load"] is None else f", load {found['load']:.1f}"
    out.console.print(word, end="")
    out.text(f"{load}: {found['words']}")
    if found["warning"]:
        out.warn(found["warning"])
