"""A real web server on a laboratory host; its answers name the host, its log counts them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from shunt.errors import ParseError
from shunt.lab.topology import CLUSTERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from shunt.lab.host import Host
    from shunt.lab.processes import Process
    from shunt.lab.topology import Topology
    from shunt.model.addresses import Address

_CONFIGURATION = """\
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
    log_format counted "$server_addr $connection_requests $status";
    access_log {log};
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    keepalive_timeout {keepalive};
    keepalive_requests 1000000000;
    default_type text/plain;
    sendfile on;
    server {{
{listen}
        location / {{ return 200 "{name}\\n"; }}
        location /files/ {{ alias {directory}/files/; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a server has answered at its cluster addresses since it was started."""

    requests: Counter[Address]
    connections: Counter[Address]  # counted at each connection's first request
    errors: int  # answers with another status than 2xx


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running server. Files under `files` are served as /files/NAME."""

    host: Host
    process: Process
    log: Path | None
    files: Path

    def answered(self) -> Answered:
        """Count the access log; the last answers' lines may come a moment after the answers.

        Raises:
            ParseError: the log is not what the configuration asked for.
        """
        return parse_log(self.log.read_text() if self.log else "")


def configuration(
    name: str,
    directory: Path,
    listen: Iterable[tuple[Address, int]],
    *,
    log: Path | None,
    keepalive: bool,
) -> str:
    """Return an nginx configuration that answers every request with `name`."""
    places = [
        f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"
        for address, port in listen
    ]
    return _CONFIGURATION.format(
        directory=directory,
        name=name,
        log=f"{log} counted" if log else "off",
        keepalive=3600 if keepalive else 0,
        listen="\n".join(f"        listen {place} backlog=4096;" for place in places),
    )


def start(
    host: Host,
    listen: Iterable[tuple[Address, int]],
    *,
    log: bool = True,
    keepalive: bool = False,
) -> Nginx:
    """Start nginx on a host that holds the addresses; return when it accepts connections.

    Without `keepalive` every request is a connection of its own, which the server closes.

    Raises:
        LabError: nginx refuses; its words are in the hint.
    """
    files = host.directory / "files"
    files.mkdir(exist_ok=True)
    access = host.directory / "access.log" if log else None
    text = configuration(host.name, host.directory, listen, log=access, keepalive=keepalive)
    path = host.write("nginx.conf", text)
    errors = host.directory / "nginx-error.log"
    pid = host.directory / "nginx.pid"
    pid.unlink(missing_ok=True)
    process = host.start(["nginx", "-c", str(path), "-e", str(errors)], log="nginx.log")
    process.wait_until(pid.exists, "listens")  # nginx writes it when its sockets are open
    return Nginx(host, process, access, files)


def start_all(standing: Topology, *, log: bool = True, keepalive: bool = False) -> dict[str, Nginx]:
    """Start nginx on port 80 of both cluster addresses on every server, all of them prepared.

    Raises:
        LabError: one refuses, as it does when it does not hold the addresses.
    """
    places = [(address, 80) for address in CLUSTERS]
    return {
        name: start(server, places, log=log, keepalive=keepalive)
        for name, server in standing.servers.items()
    }


def parse_log(text: str) -> Answered:
    """Count an access log of lines "server-address requests-of-the-connection status".

    Raises:
        ParseError: a line is not of this form.
    """
    requests: Counter[Address] = Counter()
    connections: Counter[Address] = Counter()
    errors = 0
    addresses: dict[str, IPv4Address | IPv6Address] = {}
    for line in text.splitlines():
        try:
            where, number, status = line.split()
            address = addresses.get(where) or addresses.setdefault(where, ip_address(where))
            first, good = int(number) == 1, 200 <= int(status) < 300
        except ValueError as error:
            raise ParseError(f"no line of an access log: {line!r}") from error
        requests[address] += 1
        connections[address] += first
        errors += not good
    return Answered(requests, connections, errors)
