"""Requests by real clients: curl, which shows every answer, and wrk, which makes load."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

from shunt.errors import ParseError

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.model.addresses import Address

_MARK = "answer: "
_WRK_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True, slots=True)
class Asked:
    """A run of curl: who answered how often, and the failures by curl's own words."""

    answers: Counter[str]
    failures: Counter[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """A run of wrk. `errors`: connections that failed, or answers that were no 2xx or 3xx."""

    requests: int
    seconds: float
    per_second: float
    errors: int


def url(address: Address, port: int = 80, path: str = "/") -> str:
    """Return the address as an HTTP URL."""
    host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    return f"http://{host}{'' if port == 80 else f':{port}'}{path}"


def curl(client: Host, where: str, count: int, *, parallel: int = 20) -> Asked:
    """Ask `where` `count` times, `parallel` at a time, each on a connection of its own.

    Raises:
        LabError: curl could not be run.
        ParseError: curl said something unknown.
    """
    options = [
        *("curl", "--silent", "--globoff", "--parallel", "--parallel-max", str(parallel)),
        *("--parallel-immediate", "--max-time", "10", "--config", "-"),
        *("--write-out", f"{_MARK}%{{http_code}} %{{errormsg}}\\n"),
    ]
    began = time.monotonic()
    done = client.run(
        options, input=f'url = "{where}"\n' * count, check=False, timeout=60 + count / 100
    )
    return parse_curl(done.stdout, count, time.monotonic() - began)


def parse_curl(text: str, count: int, seconds: float) -> Asked:
    """Read the bodies, each a line that names a server, and the marked results, one a request.

    Raises:
        ParseError: there are not as many results as requests.
    """
    results = re.findall(rf"{_MARK}(\d{{3}}) (.*)\n", text)
    if len(results) != count:
        raise ParseError(f"curl reported {len(results)} of {count} requests: {text[:200]!r}")
    failures: Counter[str] = Counter()
    for status, words in results:
        if status != "200":
            failures[words or f"status {status}"] += 1
    bodies = re.sub(rf"{_MARK}\d{{3}} .*\n", "", text)
    return Asked(Counter(bodies.split()), failures, seconds)


def wrk(client: Host, where: str, *, seconds: int, connections: int, threads: int = 1) -> Load:
    """Ask `where` for so many seconds from so many connections at once.

    A server that closes after each answer makes wrk connect anew for each request.

    Raises:
        LabError: wrk could not be run or could not connect.
        ParseError: wrk said something unknown.
    """
    options = ["-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "5s"]
    return parse_wrk(client.run(["wrk", *options, where], timeout=seconds + 30).stdout)


def parse_wrk(text: str) -> Load:
    """Read wrk's report.

    Raises:
        ParseError: it is none.
    """
    total = re.search(r"^ *(\d+) requests in ([\d.]+)(us|ms|s|m|h), ", text, re.MULTILINE)
    rate = re.search(r"^Requests/sec: +([\d.]+)([kMG]?)$", text, re.MULTILINE)
    if total is None or rate is None:
        raise ParseError(f"no report of wrk: {text[:200]!r}")
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}[total[3]]
    socket = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text
    )
    status = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = [int(number) for found in (socket, status) if found for number in found.groups()]
    seconds = float(total[2]) * unit
    return Load(int(total[1]), seconds, float(rate[1]) * _WRK_UNITS[rate[2]], sum(errors))
