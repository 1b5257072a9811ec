"""`shunt advisor`: which advisors there are, what they take, and one check by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from shunt.cli.output import Output
from shunt.errors import HostError, UsageError
from shunt.letters import is_seen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.advisors.check import Check
    from shunt.model.addresses import Address

app = App(name="advisor", help="List advisors, explain their settings, make one check by hand.")

_FILE = Path("/etc/shunt/shunt.yaml")
_LONGEST = 4000
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
    from shunt.advisors.check import make
    from shunt.dispatcher.control import PATIENCE, is_served, request
    from shunt.dispatcher.places import places

    out = Output(json=json)
    address, port = _place(place)
    given = _settings(settings)
    socket = places(root).socket
    check = make(kind, given, port=port)
    if server is None:
        _refuse_ourselves(socket, address)
        found = _directly(check, address, port)
    elif is_served(socket):
        found = request(
            socket, "advise", patience=PATIENCE + _longest(check), kind=kind, settings=given,
            address=str(address), port=port, server=server,
        )  # fmt: skip
    else:
        found = _along(check, address, port, server, config)
    out.document(found)
    for direction, said in found["dialogue"]:
        _show(out, direction, said)
    _verdict(out, found)
    return {True: 0, False: 1}.get(found["up"], 3)


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
