"""How long a hostile server, or a member of the control group, delays checks of other services.

A service is checked again and again, by one event loop, while another check meets a hostile server;
a delay is what a check takes more than the median with nobody hostile. Servers are processes of
their own. A member of the group has the hostile check made as `advise` does, by a `Checker` of its
own on the same event loop. The baseline is what was before: Python's backtracking `re`, on the
event loop, with a sixteenth of the text, for the whole would take minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.figures import Figure, Row
from shunt.advisors.advisor import Target
from shunt.advisors.check import make
from shunt.advisors.run import Checker
from shunt.advisors.run import run as by_hand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TARGET = 100.0  # ms
LOOPBACK = ip_address("127.0.0.1")
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
LETTERS = b"a" * (256 << 10)
NOISE = bytes(random.Random(1).choices(b"ab", k=256 << 10))
WORST = "a[ab]{900}c"  # what RE2 must walk for each byte
METRICS = b"".join(b'm{a="%d",b="x"} %d\n' % (n, n) for n in range(9_999)) + b"#" * (1 << 20)
BODIES = {"good": b"ok", "letters": LETTERS, "noise": NOISE, "metrics": METRICS,
          "chunks": b"1\r\nx\r\n" * 40_000}  # fmt: skip
_LEAST = 5  # checks
_PAUSE = 0.005  # seconds between checks of the other service


def run(*, quick: bool = False) -> list[Figure]:
    """Measure; about a minute and a half."""
    return [asyncio.run(_measured(2.0 if quick else 8.0))]


async def _measured(seconds: float) -> Figure:
    with tempfile.TemporaryDirectory() as folder, _servers(Path(folder)) as ports:
        rows: list[Row] = []
        usual = 0.0
        for name, hostile in _cases(ports).items():
            taken, busy = await _others(ports["good"], hostile, seconds)
            usual = usual or median(taken)
            delays = [1000 * max(0.0, each - usual) for each in taken]
            rows.append({
                "meanwhile": name, "checks": len(taken), "median ms": 1000 * median(taken),
                "99 % within ms": sorted(delays)[99 * len(delays) // 100],
                "longest delay ms": max(delays), "loop busy ms": 1000 * max(busy),
            })  # fmt: skip
    worst = max(float(str(row["longest delay ms"])) for row in rows if "before" not in str(row))
    return Figure(
        "Delay of another service's checks",
        rows,
        [f"target: {TARGET:.0f} ms; longest of all but the baseline: {worst:.0f} ms",
         "delays count from the median with nobody hostile",
         "loop busy: what the event loop's thread worked at most while such a check was on its way",
         f"load of the machine by others, as `uptime` has it: {os.getloadavg()[0]:.1f}"],
    )  # fmt: skip


def _cases(ports: dict[str, int]) -> dict[str, Callable[[], Awaitable[object]] | None]:
    checker = Checker()

    def checked(kind: str, server: str, **settings: str) -> Callable[[], Awaitable[object]]:
        check = make(kind, settings, port=ports[server])
        return lambda: checker.check(check, Target(LOOPBACK, ports[server]))

    def advised(server: str, pattern: str) -> Callable[[], Awaitable[object]]:
        check, target = make("http", {"body": pattern}, port=80), Target(LOOPBACK, ports[server])
        return lambda: asyncio.gather(*(by_hand(check, target) for _ in range(4)))

    async def backtracking() -> None:
        re.search(r"\w+ up", LETTERS[: len(LETTERS) // 16].decode())

    metric = {"expression": 'sum(m{a=~"1.*"}) + sum(m{b!~"y+"}) / count(m)'}
    return {
        "nobody is hostile": None,
        r"`\w+ up` meets 256 KiB of one letter": checked("http", "letters", body=r"\w+ up"),
        f"`{WORST}` meets 256 KiB of noise": checked("http", "noise", body=WORST),
        "a body of 40,000 chunks": checked("http", "chunks", body="never"),
        "9,999 series among 1.3 MB of metrics": checked("prometheus", "metrics", **metric),
        "TLS, a group of 8,192 bits": checked("https", "dh", request="GET /"),
        f"four times by hand: `{WORST}`, noise": advised("noise", WORST),
        "before: `re`, 16 KiB of one letter": backtracking,
    }


async def _others(
    port: int, hostile: Callable[[], Awaitable[object]] | None, seconds: float
) -> tuple[list[float], list[float]]:
    """Return what checks of a good server took while another check is made, in seconds.

    And what the loop's thread worked meanwhile, whoever else had the processors.
    """
    check, target = make("http", {"body": "ok"}, port=port), Target(LOOPBACK, port)
    checker = Checker()
    taken: list[float] = []
    busy: list[float] = []
    end = time.monotonic() + seconds

    async def bother() -> None:
        while hostile is not None:
            await hostile()
            await asyncio.sleep(_PAUSE)

    bothering = asyncio.create_task(bother())
    while time.monotonic() < end or len(taken) < _LEAST:
        begin, worked = time.perf_counter(), time.thread_time()
        assert (await checker.check(check, target)).up
        taken.append(time.perf_counter() - begin)
        busy.append(time.thread_time() - worked)
        await asyncio.sleep(_PAUSE)
    bothering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await bothering
    checker.close()
    return taken, busy


# The servers.


@contextlib.contextmanager
def _servers(folder: Path):  # type: ignore[no-untyped-def]  # a generator of the ports by name
    words = "req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=x -keyout key.pem -out cert.pem"
    group = "genpkey -genparam -algorithm DH -pkeyopt group:ffdhe8192 -out group.pem"
    for command in (words, group):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    serving = subprocess.Popen([sys.executable, "-m", "bench.hostile"], stdout=subprocess.PIPE)
    assert serving.stdout is not None
    ports = json.loads(serving.stdout.readline())
    secure = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"127.0.0.1:{ports['dh']}", "-tls1_2", "-www", "-quiet",
         "-cert", "cert.pem", "-key", "key.pem", "-dhparam", "group.pem",
         "-cipher", "DHE-RSA-AES256-GCM-SHA384"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield ports
    finally:
        for process in (serving, secure):
            process.kill()
            process.wait()
        serving.stdout.close()


async def _serve() -> None:
    ports = {}
    for name, body in BODIES.items():
        head = HEAD if name != "chunks" else HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"

        async def answer(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            answer_: bytes = head + body,
        ) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer_)
                writer.write_eof()
                await reader.read()
            writer.transport.abort()

        server = await asyncio.start_server(answer, str(LOOPBACK), 0, backlog=256)
        ports[name] = server.sockets[0].getsockname()[1]
    free = await asyncio.start_server(lambda *_: None, str(LOOPBACK), 0)
    ports["dh"] = free.sockets[0].getsockname()[1]
    free.close()
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
