"""All that operators, servers and strangers can do to a daemon at once, by a seed.

Each kind has a thread and a random generator of its own: what one does depends on the seed alone,
not on how quick the others are.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from ipaddress import IPv4Address
from random import Random
from typing import TYPE_CHECKING, Any, Self

from shunt.dispatcher.control import request
from shunt.errors import ControlError, LabError, NetworkError, UsageError
from shunt.model.addresses import Mac
from shunt.network.frames import gratuitous_arp
from shunt.network.packets import PacketSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.dispatcher.scene import Scene

HOSTILE = 8081  # port of a server that answers what it likes
_HELD = 40  # control connections that are held at a time
_FRAMES = 50  # announcements of a stranger at a time
_STRANGER = Mac.parse("02:00:00:00:00:66")

# A web server that says nothing, too much, half of it, or one letter that patterns stumble over.
SERVER = f"""
import random, socket, sys
dice = random.Random(sys.argv[2])
listener = socket.create_server((sys.argv[1], {HOSTILE}), backlog=100)
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.settimeout(0.5)
    try:
        connection.recv(1000)
        match dice.randrange(5):
            case 0:
                pass
            case 1:
                connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n" + b"a" * (1 << 18))
            case 2:
                while True:
                    connection.sendall(b"x" * 65536)
            case 3:
                connection.sendall(b"HTTP/1.1 200 O")
            case _:
                connection.sendall(bytes(dice.randrange(256) for _ in range(3000)))
    except OSError:
        pass
    connection.close()
"""


class Commotion:
    """A storm over a laboratory's daemon; use as a context manager.

    Attributes:
        done: how often each kind of thing was done.
        faults: what went wrong that must not.
    """

    def __init__(self, scene: Scene, seed: str, files: list[str]) -> None:
        self.done: dict[str, int] = {}
        self.faults: list[str] = []
        self._scene, self._seed, self._files = scene, seed, files
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        for act, pause in (
            (self._weigh, 0.02), (self._quiesce, 0.2), (self._reload, 0.4), (self._read, 0.1),
            (self._hold, 0.3), (self._flap, 0.7), (self._rename, 0.5), (self._flush, 0.3),
            (self._renew, 2.0), (self._claim, 0.2),
        ):  # fmt: skip
            thread = threading.Thread(target=self._repeat, args=(act, pause), name=act.__name__)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _repeat(self, act: Callable[[Random], None], pause: float) -> None:
        dice = Random(f"{self._seed} {act.__name__}")
        while not self._over.wait(dice.uniform(0.5, 1.5) * pause):
            try:
                act(dice)
                self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
            except (UsageError, LabError, NetworkError):
                pass  # a reload has taken the server away; an interface is gone, or down
            except (ControlError, OSError) as error:
                self.faults.append(f"{act.__name__}: {error}")

    def _ask(self, command: str, **arguments: Any) -> Any:
        return request(self._scene.places.socket, command, **arguments)

    # Operators.

    def _weigh(self, dice: Random) -> None:
        self._ask("weight", server=dice.choice("abc"), weight=dice.choice([None, *range(40)]))

    def _quiesce(self, dice: Random) -> None:
        command = dice.choice(["quiesce", "unquiesce", "unquiesce"])
        self._ask(command, server=dice.choice("abc"), now=dice.random() < 0.5)

    def _reload(self, dice: Random) -> None:
        self._scene.file.write_text(dice.choice(self._files))
        self._ask("reload")

    def _read(self, dice: Random) -> None:
        if dice.random() < 0.5:
            self._ask("status")
        else:
            self._ask("flows", limit=dice.randrange(1 << 20))

    def _hold(self, dice: Random) -> None:
        """Hold connections, some with half a request; read nothing of some replies."""
        with contextlib.ExitStack() as stack:
            for _ in range(dice.randrange(_HELD)):
                connection = stack.enter_context(socket.socket(socket.AF_UNIX))
                connection.settimeout(5)
                connection.connect(str(self._scene.places.socket))
                said = dice.choice([b"", b'{"comm', b'{"command": "status"}\n', b"[" * 70_000])
                with contextlib.suppress(OSError):
                    connection.sendall(said)
            self._over.wait(dice.uniform(0, 1))

    # Servers, links, and strangers.

    def _flap(self, dice: Random) -> None:
        server = self._scene.standing.servers[dice.choice("abc")]
        server.ip("link", "set", "eth0", "down")
        self._over.wait(dice.uniform(0, 0.5))
        server.ip("link", "set", "eth0", "up")

    def _rename(self, dice: Random) -> None:
        """Exchange a server's card, in silence."""
        server = self._scene.standing.servers[dice.choice("bc")]
        server.ip("link", "set", "eth0", "address", f"02:00:00:00:01:{dice.randrange(256):02x}")

    def _flush(self, _dice: Random) -> None:
        self._scene.dispatcher.flush_neighbours()

    def _renew(self, dice: Random) -> None:
        """Take an interface of the dispatcher away, and make it anew."""
        with contextlib.suppress(LabError):
            self._scene.dispatcher.ip("link", "delete", "eth2")
        self._over.wait(dice.uniform(0, 1))
        self._scene.lab.join(self._scene.dispatcher, "spare", interface="eth2")

    def _claim(self, dice: Random) -> None:
        """Say that a server's address, or a cluster's, is somewhere else."""
        address = IPv4Address(dice.choice(["192.0.2.21", "192.0.2.22", "192.0.2.10"]))

        def body() -> None:
            with PacketSocket("eth0") as sender:
                for frame in gratuitous_arp(_STRANGER, address) * _FRAMES:
                    sender.send(frame)

        self._scene.client.call(body)


def start_hostile(scene: Scene, seed: str) -> None:
    """Start the hostile server on every server, at the cluster address."""
    for name, server in scene.standing.servers.items():
        process = server.start([sys.executable, "-c", SERVER, "192.0.2.10", f"{seed} {name}"])
        process.wait_until_says("listening", timeout=30)


def resident(process: int) -> int:
    """Return the resident memory of a process in bytes."""
    with open(f"/proc/{process}/statm") as file:  # noqa: PTH123 - a line of the kernel's
        return int(file.read().split()[1]) * 4096


def wait_for(seconds: float, look: Callable[[], None], every: float = 0.5) -> None:
    """Look now and then for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        look()
        time.sleep(every)
