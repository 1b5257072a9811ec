"""Does what a plan says to a laboratory, asks all the while, and watches where requests arrive."""

from __future__ import annotations

import heapq
import itertools
import json
import os
import selectors
import signal
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from shunt.errors import LabError
from shunt.lab import nginx, topology
from shunt.lab.daemon import Daemon
from shunt.network.announce import announce
from shunt.network.frames import Flag, Frame, Ip, Segment
from shunt.network.packets import PacketSocket
from tests.dispatcher.storm.oracle import Arrival, Course, Line, Request, Spell, Trouble
from tests.dispatcher.storm.plan import STRAY, What

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shunt.lab.host import Host
    from shunt.lab.nginx import Nginx
    from shunt.lab.topology import Topology
    from shunt.network.packets import Heard
    from tests.dispatcher.storm.plan import Act

CLUSTER = IPv4Address("192.0.2.10")
SERVICE = f"{CLUSTER}:80/tcp"
PACE = 0.05  # seconds from one request's begin to the next one's
PATIENCE = 2.0  # seconds that a client waits: long enough to begin its connection a second time
PORTS = range(2000, 65000)
_SHUNT = str(Path(sys.executable).with_name("shunt"))
_READY = 30.0


class Storm:
    """One storm over one laboratory; `course` has what came of it."""

    def __init__(self, standing: Topology, configuration: str) -> None:
        self.standing = standing
        self.webs: dict[str, Nginx] = dict(nginx.start_all(standing))
        stray = standing.lab.host(STRAY)
        standing.lab.join(stray, topology.SEGMENT, addresses=["192.0.2.66/24"])
        self.watched: Mapping[str, Host] = {**standing.servers, STRAY: stray}
        self.course = Course(SERVICE, sorted(standing.servers))
        self._troubles: list[Trouble] = []
        self._requests: list[Request] = []
        self._over = threading.Event()
        self._daemons: list[Daemon] = []
        self._configuration = configuration
        self._start()

    def run(self, acts: tuple[Act, ...], seconds: float) -> None:
        """Do it all, heal it all, and end the daemon.

        Raises:
            LabError: a daemon did not start, or did not end.
        """
        try:
            self._run(acts, seconds)
            self._daemons[-1].shunt("down")
        finally:
            self._over.set()
            self.course.lines = [line for each in self._daemons for line in _lines(each)]
            self.course.troubles = self._troubles
            self.course.requests = self._requests

    def log(self) -> str:
        """Return the words of all daemons, those that were killed as well."""
        return "".join(each.process.output() for each in self._daemons)

    def _run(self, acts: tuple[Act, ...], seconds: float) -> None:
        with ExitStack() as stack, ThreadPoolExecutor(6) as pool:
            sockets = {
                name: stack.enter_context(host.call(lambda: PacketSocket("eth0")))
                for name, host in self.watched.items()
            }
            witness = pool.submit(self._witness, sockets)
            try:
                begin = time.time() + 0.2
                kinds = ({What.DAEMON}, {What.CLAIM}, {What.KILL, What.HANG, What.ALIAS})
                doing = [
                    pool.submit(self._strike, [act for act in acts if act.what in kind], begin)
                    for kind in kinds
                ]
                doing.append(pool.submit(self._ask, begin, begin + seconds))
                done, _ = wait(doing, return_when=FIRST_EXCEPTION)
                for each in done:
                    each.result()
            finally:
                self._over.set()
            witness.result()

    # Troubles.

    def _strike(self, acts: list[Act], begin: float) -> None:
        """Do these acts and what heals them, each when its time has come."""
        order = itertools.count()
        due: list[tuple[float, int, Callable[[], None]]] = []
        for act in acts:
            heapq.heappush(due, (begin + act.at, next(order), lambda act=act: strike(act)))  # type: ignore[misc]  # it cannot infer such a lambda

        def strike(act: Act) -> None:
            at = time.time()
            heal = self._do(act)

            def put_right() -> None:
                heal()
                self._troubles.append(Trouble(act.host, act.what, Spell(at, time.time())))

            heapq.heappush(due, (begin + act.at + act.lasting, next(order), put_right))

        while due and not self._over.is_set():
            at, _, do = heapq.heappop(due)
            self._over.wait(max(0.0, at - time.time()))
            do()

    def _do(self, act: Act) -> Callable[[], None]:
        """Do what an act says; return what puts it right."""
        match act.what:
            case What.KILL:
                return self._kill(act.host)
            case What.HANG:
                group = os.getpgid(self.webs[act.host].process.pid)
                os.killpg(group, signal.SIGSTOP)
                return lambda: os.killpg(group, signal.SIGCONT)
            case What.ALIAS:
                server = self.standing.servers[act.host]
                topology.drop_alias(server)
                return lambda: topology.add_alias(server)
            case What.DAEMON:
                self._daemons[-1].process.kill()
                return self._start
            case What.CLAIM:
                self.watched[act.host].call(lambda: announce("eth0", [CLUSTER]))
                return lambda: None

    def _kill(self, name: str) -> Callable[[], None]:
        self.webs[name].process.kill()

        def heal() -> None:
            if self.webs[name].process.status is not None:
                places = [(address, 80) for address in topology.CLUSTERS]
                self.webs[name] = nginx.start(self.standing.servers[name], places)

        return heal

    def _start(self) -> None:
        host = self.standing.dispatcher
        config = host.write("shunt.yaml", self._configuration)
        root = host.directory / "shunt"
        root.mkdir(exist_ok=True)
        command = [_SHUNT, "up", "--json", "-c", str(config), "--root", str(root)]
        process = host.start(command)
        self._daemons.append(Daemon(host, process, config, root))
        process.wait_until_says('"ready"', timeout=_READY)

    # Requests.

    def _ask(self, begin: float, end: float) -> None:
        """Begin a request every `PACE` seconds, whatever becomes of those before it."""
        with ThreadPoolExecutor(2 * int(PATIENCE / PACE)) as pool:
            for number in itertools.count():
                at = begin + number * PACE
                if at > end or self._over.is_set():
                    break
                self._over.wait(max(0.0, at - time.time()))
                pool.submit(self._ask_once, PORTS[number % len(PORTS)])

    def _ask_once(self, port: int) -> None:
        command = ["curl", "-sS", "-m", str(PATIENCE), "--local-port", str(port)]
        at = time.time()
        done = self.standing.client.run([*command, f"http://{CLUSTER}/"], check=False)
        spell = Spell(at, time.time())
        answer = done.stdout.strip() if done.status == 0 else ""
        known = answer if answer in self.standing.servers else ""
        words = "" if known else f"{done.status} {done.stderr.strip()}{answer}"
        self._requests.append(Request(port, spell, known, words))

    def _witness(self, sockets: Mapping[str, PacketSocket]) -> None:
        """Write down where the client's frames arrive, until all is over."""
        try:
            self._watch(sockets)
        finally:
            self._over.set()

    def _watch(self, sockets: Mapping[str, PacketSocket]) -> None:
        arrivals: defaultdict[int, list[Arrival]] = defaultdict(list)
        client = next(mac for mac, name in self.standing.macs.items() if name == "client")
        with selectors.DefaultSelector() as selector:
            for name, each in sockets.items():
                selector.register(each, selectors.EVENT_READ, (name, each))
            over = False
            while not over:
                over = self._over.is_set()  # once more after that, for what is there
                for key, _ in selector.select(0.2):
                    name, each = key.data
                    while (heard := each.receive_now()) is not None:
                        segment, direct = _of_the_client(heard, client.octets)
                        if segment is None:
                            continue
                        opens = segment.flags == Flag.SYN
                        seen = arrivals[segment.source]
                        if opens or not seen or (seen[-1].host, seen[-1].direct) != (name, direct):
                            seen.append(Arrival(name, heard.when, opens, direct))
        for seen in arrivals.values():
            seen.sort(key=lambda arrival: arrival.at)
        self.course.arrivals = arrivals
        dropped = {name: each.dropped() for name, each in sockets.items()}
        if any(dropped.values()):
            raise LabError(f"the witness has missed frames: {dropped}")


def _of_the_client(heard: Heard, client: bytes) -> tuple[Segment | None, bool]:
    """Return the segment that the client sent to the cluster address, and whether directly."""
    frame = heard.parsed()
    if (
        isinstance(frame, Frame)
        and isinstance(frame.network, Ip)
        and isinstance(frame.message, Segment)
        and frame.network.destination == CLUSTER
        and frame.network.source == IPv4Address("192.0.2.1")
    ):
        return frame.message, frame.link.source.octets == client
    return None, False


def _lines(daemon: Daemon) -> list[Line]:
    """Return a daemon's log; a line that it was killed in the midst of is left out."""
    lines = []
    for text in daemon.process.output().splitlines():
        try:
            facts = json.loads(text)
            at = datetime.fromisoformat(facts["timestamp"]).timestamp()
        except (ValueError, KeyError):
            continue
        lines.append(Line(at, facts["event"], facts))
    return lines
