"""Health: what a thousand checks a second cost, and how soon a failing server gets no more traffic.

The baseline of the checks is what one would write by hand: the same requests by asyncio's streams.
Processor time and memory are those of a process that does nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from statistics import median
from threading import Event
from typing import TYPE_CHECKING, Any

from bench.figures import Figure, Row
from shunt.advisors.advisor import Target
from shunt.advisors.check import make
from shunt.advisors.rounds import Job, Rounds
from shunt.dispatcher.control import request
from shunt.dispatcher.places import places
from shunt.lab import daemon, nginx, topology
from shunt.lab.lab import Lab
from shunt.lab.steady import visits

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
RATE, SHARE = 100, 0.5  # new connections per second; server c has half of the weight
_LOAD, _LATE = 1.0, 0.5  # seconds: of load before and after; of an answer that took a second SYN
_WARM, _SETTLE, _LONGEST_WAIT = 2.0, 8.0, 30.0


def run(*, quick: bool = False) -> list[Figure]:
    """Measure; about five minutes."""
    return [
        _checks(4 if quick else 10),
        _daemon(5 if quick else 20),
        _detection(1 if quick else 3),
        _harm(2 if quick else 4),
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


def _daemon(seconds: int) -> Figure:
    """The whole daemon, with a thousand servers that one machine plays: it has all addresses."""
    with Lab.create() as lab:
        running = _farm(lab)
        socket = places(running.root).socket
        time.sleep(_SETTLE)
        (memory,) = re.findall(r"VmRSS:\s+(\d+) kB", _proc(running, "status"))
        before, checks, begin = _spent(running), _checked(running), time.monotonic()
        time.sleep(seconds)
        spent, made = _spent(running) - before, _checked(running) - checks
        lasted = time.monotonic() - begin
        status = request(socket, "status")["health"]["services"]["198.18.255.10:80/tcp"]
        down = sum(not row["up"] for row in status["servers"].values())
        (after,) = re.findall(r"VmRSS:\s+(\d+) kB", _proc(running, "status"))
        running.shunt("down")
    row: Row = {
        "servers": SERVERS, "checks per s": made / lasted, "down": down,
        "% of a core": 100 * spent / lasted, "MB": int(memory) / 1024,
        "MB after `shunt status`": int(after) / 1024,
    }  # fmt: skip
    note = f"target: {TARGET_CPU:.0f} % of a core and {TARGET_MEMORY:.0f} MB"
    return Figure("The daemon with a thousand servers", [row], [note])


def _farm(lab: Lab) -> Daemon:
    lab.segment("lan")
    for name, own in (("dispatcher", "198.18.0.2/16"), ("farm", "198.18.0.3/16")):
        lab.join(lab.host(name), "lan", addresses=[own])
    dispatcher, farm = lab.hosts["dispatcher"], lab.hosts["farm"]
    topology.let_transmit(lab, dispatcher)
    topology.silence(farm)
    addresses = [f"198.18.{4 + number // 250}.{1 + number % 250}" for number in range(SERVERS)]
    added = "".join(f"address add {address}/32 dev eth0\n" for address in addresses)
    farm.run(["ip", "-batch", "-"], input=added + "address add 198.18.255.10/32 dev lo\n")
    nginx.start(farm, [(ip_address("198.18.255.10"), 80)], log=False)
    names = ", ".join(f"s{number}" for number in range(SERVERS))
    servers = "\n".join(
        f"  s{number}: {{address: {address}}}" for number, address in enumerate(addresses)
    )
    return daemon.start(dispatcher, (
        "dispatcher: {interface: eth0}\n"
        "clusters:\n  web:\n    address: 198.18.255.10\n    ports:\n"
        f"      - {{port: 80, advisor: {{type: http, interval: 1s}}, servers: [{names}]}}\n"
        f"servers:\n{servers}\n"
    ))  # fmt: skip


def _proc(running: Daemon, name: str) -> str:
    return Path(f"/proc/{running.process.pid}/{name}").read_text()


def _spent(running: Daemon) -> float:
    """Return the processor time that the daemon has taken, in seconds."""
    user, system = _proc(running, "stat").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _checked(running: Daemon) -> int:
    return int(request(places(running.root).socket, "status")["health"]["checks"])


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
    """Return the seconds until the rows of the servers fulfil a condition.

    They have what the checks found, and the share of the slots in force.
    """
    begin = time.monotonic()
    socket = places(running.root).socket
    while time.monotonic() - begin < _LONGEST_WAIT:
        status = request(socket, "status")
        found = status["health"]["services"].get(SERVICE)
        (service,) = (each for each in status["services"] if each["name"] == SERVICE)
        shares = {row["server"]: {"share": row["share"]} for row in service["servers"]}
        if found and condition(
            {name: row | shares[name] for name, row in found["servers"].items()}
        ):
            return time.monotonic() - begin
        time.sleep(0.01)
    raise TimeoutError(f"not within {_LONGEST_WAIT} s")


def _detection(times: int) -> Figure:
    rows: list[Row] = []

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
            taken = _until(running, lambda found: found["b"]["share"] == 0)
            webs["b"] = nginx.start(standing.servers["b"], places_, log=False)
            _until(running, lambda found: found["b"]["share"] > 0)
            return taken

        def stripped() -> float:
            topology.drop_alias(standing.servers["a"])
            taken = _until(running, lambda found: found["a"]["share"] == 0)
            topology.add_alias(standing.servers["a"])
            _until(running, lambda found: found["a"]["share"] > 0)
            return taken

        row("its daemon is killed", [killed() for _ in range(times)], TARGET_ACTIVE)
        row("it loses the alias", [stripped() for _ in range(times)], TARGET_ACTIVE)
    notes = ["one check a second, connect_timeout 300 ms; until no new connection goes there"]
    return Figure("Until a failing server gets no more connections", rows, notes)


def _harm(times: int) -> Figure:
    """How many users meet a failing server: new connections come at a fixed rate."""
    rows: list[Row] = []
    for what, interval, strike in (
        ("service killed", "1h", _kill), ("service killed", "1s", _kill),
        ("machine cut off", "1h", _cut),
    ):  # fmt: skip
        found = [_harmed(interval, strike) for _ in range(times)]
        taken = [1000 * each.taken for each in found]
        rows.append({
            "what happens": what, "interval": interval, "tries": times,
            "median ms": median(taken), "longest ms": max(taken),
            "begun there": sum(each.begun for each in found) / times,
            "in flight": sum(each.flying for each in found) / times,
            "failed": sum(each.failed for each in found) / times,
            "failed later": sum(each.later for each in found),
            "answered late": sum(each.late for each in found) / times,
        })  # fmt: skip
    notes = [
        f"{RATE} new connections a second, half of them to that server; averages of the tries",
        "interval 1h: no check is due, so what users meet is what has the server checked",
        f"target: {1000 * TARGET_PASSIVE:.0f} ms; failed: at most those begun there and in flight",
        "of a machine that is cut off, clients hear nothing; a second later they repeat their SYN",
    ]
    return Figure("Users who meet a failing server", rows, notes)


@dataclass(frozen=True, slots=True)
class _Harm:
    """What one try showed."""

    """Seconds until no connection went there; connections begun there meanwhile, in flight at the
    begin, failed of these, failed that began later, answered only after a repeated SYN."""

    taken: float
    begun: float
    flying: int
    failed: int
    later: int
    late: int


def _kill(_: Topology, webs: dict[str, Nginx]) -> None:
    webs["c"].process.kill()


def _cut(standing: Topology, _: dict[str, Nginx]) -> None:
    standing.servers["c"].ip("link", "set", "eth0", "down")


def _harmed(interval: str, strike: Callable[[Topology, dict[str, Nginx]], None]) -> _Harm:
    with _laboratory(interval) as (standing, webs, running), ThreadPoolExecutor() as pool:
        load = pool.submit(
            visits, standing.client, topology.CLUSTERS[0], rate=RATE, over=(over := Event())
        )
        try:
            time.sleep(_LOAD)
            begin = time.monotonic()
            strike(standing, webs)
            taken = _until(running, lambda found: found["c"]["share"] == 0)
            end = time.monotonic()
            time.sleep(_LOAD)
        finally:
            over.set()
        made = load.result()
    failed = [visit for visit in made if visit.server is None]
    return _Harm(
        taken,
        begun=SHARE * sum(begin <= visit.begin <= end for visit in made),
        flying=sum(visit.begin < begin < visit.end for visit in made),
        failed=sum(visit.begin <= end for visit in failed),
        later=sum(visit.begin > end for visit in failed),
        late=sum(visit.server is not None and visit.end - visit.begin > _LATE for visit in made),
    )


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
