"""Health: what a thousand checks a second cost, and how soon a failing server gets no more traffic.

The baseline of the checks is what one would write by hand: the same requests by asyncio's streams.
Processor time and memory are those of a process that does nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import subprocess
import sys
import time
from ipaddress import ip_address
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.figures import Figure, Row
from shunt.advisors.advisor import Target
from shunt.advisors.check import make
from shunt.advisors.rounds import Job, Rounds
from shunt.dispatcher.control import request
from shunt.dispatcher.places import places
from shunt.lab import daemon, nginx, topology
from shunt.lab.lab import Lab
from shunt.lab.requests import url, wrk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shunt.lab.daemon import Daemon
    from shunt.lab.nginx import Nginx
    from shunt.lab.topology import Topology

SERVERS = 1000
TARGET_CPU, TARGET_MEMORY = 25.0, 200.0  # per cent of a core, MB
TARGET_ACTIVE, TARGET_PASSIVE = 1.5, 0.3  # seconds, with one check a second
SERVICE = "192.0.2.10:80/tcp"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_WARM, _LONGEST_WAIT = 2.0, 30.0


def run(*, quick: bool = False) -> list[Figure]:
    """Measure; about two minutes."""
    return [
        _checks(4 if quick else 10),
        _detection(2 if quick else 5),
        _flapping(15 if quick else 60),
    ]


# What checks cost.


def _checks(seconds: int) -> Figure:
    rows: list[Row] = []
    for name, part in (("Shunt", "shunt"), ("asyncio streams, by hand", "streams")):
        command = [sys.executable, "-m", "bench.health", part, str(seconds)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        rows.append({"checks by": name} | found)
    notes = [
        f"{SERVERS} servers, an HTTP request to each of them every second",
        f"target: {TARGET_CPU:.0f} % of a core and {TARGET_MEMORY:.0f} MB",
    ]
    return Figure("A thousand checks a second", rows, notes)


async def _serve() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _by_shunt(port: int, counts: list[int]) -> None:
    job = Job(make("http", {"interval": "1s"}), Target(ip_address("127.0.0.1"), port))
    rounds: Rounds[int] = Rounds(lambda _, verdict: counts.append(int(bool(verdict.up))))
    rounds.take(dict.fromkeys(range(SERVERS), job))
    try:
        await asyncio.Event().wait()
    finally:
        await rounds.close()


async def _by_streams(port: int, counts: list[int]) -> None:
    async def check(number: int) -> None:
        await asyncio.sleep(number / SERVERS)
        while True:
            begin = time.monotonic()
            async with asyncio.timeout(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                await writer.drain()
                line = await reader.readline()
                writer.close()
            counts.append(int(b" 200 " in line))
            await asyncio.sleep(max(0.0, begin + 1 - time.monotonic()))

    await asyncio.gather(*map(check, range(SERVERS)))


async def _measured(part: str, port: int, seconds: float) -> dict[str, float]:
    counts: list[int] = []
    made = _by_shunt(port, counts) if part == "shunt" else _by_streams(port, counts)
    task = asyncio.create_task(made)
    await asyncio.sleep(_WARM)
    counts.clear()
    processor, begin = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    spent, lasted = time.process_time() - processor, time.monotonic() - begin
    found = {
        "checks per s": len(counts) / lasted,
        "failed": len(counts) - sum(counts),
        "% of a core": 100 * spent / lasted,
        "µs each": 1e6 * spent / len(counts),
        "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found


def _part(part: str, seconds: str) -> None:
    """Be one process of the measurement: `serve`, or one that checks and prints its figures."""
    if part == "serve":
        asyncio.run(_serve())
        return
    command = [sys.executable, "-m", "bench.health", "serve", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        try:
            print(json.dumps(asyncio.run(_measured(part, port, float(seconds)))))
        finally:
            server.kill()


# How soon.


@contextlib.contextmanager
def _laboratory(interval: str) -> Iterator[tuple[Topology, dict[str, Nginx], Daemon]]:
    with Lab.create() as lab:
        standing = topology.build(lab)
        for server in standing.servers.values():
            topology.prepare(server)
        webs = nginx.start_all(standing, log=False)
        names = "servers: [a, b, c]"
        advisor = f"advisor: {{type: http, interval: {interval}, connect_timeout: 300ms}}"
        text = standing.configuration().replace(names, f"{names}, {advisor}")
        running = daemon.start(standing.dispatcher, text)
        _until(running, lambda rows: all(row["checked"] for row in rows.values()))
        yield standing, webs, running
        running.shunt("down")


def _until(running: Daemon, condition: Callable[[dict[str, Any]], bool]) -> float:
    """Return the seconds until what the checks found fulfils a condition."""
    begin = time.monotonic()
    socket = places(running.root).socket
    while time.monotonic() - begin < _LONGEST_WAIT:
        found = request(socket, "status")["health"]["services"].get(SERVICE)
        if found and condition(found["servers"]):
            return time.monotonic() - begin
        time.sleep(0.005)
    raise TimeoutError(f"not within {_LONGEST_WAIT} s")


def _detection(times: int) -> Figure:
    rows: list[Row] = []
    failed: list[int] = []

    def row(what: str, taken: list[float], target: float) -> None:
        rows.append({
            "what happens to a server": what, "tries": len(taken),
            "median ms": 1000 * median(taken), "longest ms": 1000 * max(taken),
            "target ms": 1000 * target,
        })  # fmt: skip

    with _laboratory("1s") as (standing, webs, running):
        places_ = [(address, 80) for address in topology.CLUSTERS]

        def killed() -> float:
            webs["b"].process.kill()
            taken = _until(running, lambda found: found["b"]["weight"] == 0)
            webs["b"] = nginx.start(standing.servers["b"], places_, log=False)
            _until(running, lambda found: found["b"]["weight"] > 0)
            return taken

        def stripped() -> float:
            topology.drop_alias(standing.servers["a"])
            taken = _until(running, lambda found: found["a"]["weight"] == 0)
            topology.add_alias(standing.servers["a"])
            _until(running, lambda found: found["a"]["weight"] > 0)
            return taken

        row("its daemon is killed", [killed() for _ in range(min(3, times))], TARGET_ACTIVE)
        row("it loses the alias", [stripped() for _ in range(min(3, times))], TARGET_ACTIVE)
    taken = []
    for _ in range(times):
        with _laboratory("1h") as (standing, webs, running):
            taken.append(_under_load(standing, webs, running, failed))
    row("killed under load; no check due for an hour", taken, TARGET_PASSIVE)
    notes = [
        "one check a second, connect_timeout 300 ms; times are until no new connection goes there",
        f"requests that failed under load at 10 connections: {', '.join(map(str, failed))}",
    ]
    return Figure("Until a failing server gets no more connections", rows, notes)


def _under_load(
    standing: Topology, webs: dict[str, Nginx], running: Daemon, failed: list[int]
) -> float:
    import threading

    where = url(topology.CLUSTERS[0])
    thread = threading.Thread(
        target=lambda: failed.append(wrk(standing.client, where, seconds=4, connections=10).errors)
    )
    thread.start()
    time.sleep(1)
    webs["c"].process.kill()
    taken = _until(running, lambda found: found["c"]["weight"] == 0)
    thread.join()
    return taken


def _flapping(seconds: int) -> Figure:
    with _laboratory("500ms") as (standing, _, running):
        before = _moved(running)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            topology.drop_alias(standing.servers["a"])
            time.sleep(1)
            topology.add_alias(standing.servers["a"])
            time.sleep(1)
        after = _moved(running)
        status = request(places(running.root).socket, "status")
    slots = sum(service["slots"] for service in status["services"])
    events = status["events"]
    row: Row = {
        "seconds": seconds, "falls": events["serverDown"], "returns": events["serverUp"],
        "slots moved per minute": (after - before) * 60 / seconds, "slots": slots,
    }  # fmt: skip
    note = "one of three servers (a sixth of the weight) loses and regains its alias every 2 s"
    return Figure("A flapping server", [row], [note])


def _moved(running: Daemon) -> int:
    words = running.process.log.read_text()
    return sum(map(int, re.findall(r"slots changed hands\s+slots=(\d+)", words)))


if __name__ == "__main__":
    _part(*sys.argv[1:3])
