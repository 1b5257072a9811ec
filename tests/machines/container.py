"""A Debian in a container: the same disks with their own systemd, on this host's kernel.

It boots in seconds, where a machine under emulation takes minutes. A boot gets a network namespace
of its own, fresh as a kernel makes it; what is on the disk stays.
"""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.machines.images import CACHE
from tests.machines.machine import ADDRESS, Machine

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.host import Host

_SECONDS = 120  # patience until a container has ended
# systemd wants the second kind of control groups; mounted where only the container sees it.
_START = """\
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec systemd-nspawn -q -D "$1" --machine="$2" --register=no --keep-unit --capability=all \\
    --network-namespace-path="$3" -b $4
"""


@dataclass
class Container(Machine):
    """One container with its own copy of the disk, on the segment "lan" beside "client"."""

    _root: Path = field(init=False)
    _boots: int = field(init=False, default=0)
    _host: Host | None = field(init=False, default=None)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def _wire(self) -> None:
        """Nothing is plugged in before a boot."""

    def _prepare(self) -> None:
        """Copy the disk, mount it, and write the files."""
        command = ["cp", "--sparse=always", str(self.made_of.disk), str(self._disk)]
        subprocess.run(command, check=True)
        self._root = CACHE / f"root-{self.lab.ident}"
        self._root.mkdir()
        subprocess.run(["mount", "-o", "loop", str(self._disk), str(self._root)], check=True)
        for path, text in self.files.items():
            file = self._root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(self.mode(path))
        known = (self._root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        self.known_hosts = self.client.write("known_hosts", f"{ADDRESS} {known}")
        self.key = self.client.write("key", self.made_of.key.read_text())
        self.key.chmod(0o600)

    def boot(self) -> None:
        """Start it in a network namespace of its own, and wait until it is up."""
        self._boots += 1
        self._host = host = self.lab.host(f"boot{self._boots}")
        for number in range(self.cards):
            name = f"eth{number}"
            self.lab.join(host, "lan", interface=name)
            mac = f"52:54:00:09:00:{number + 5:02x}"
            host.ip("link", "set", name, "down")
            host.ip("link", "set", name, "address", mac)
        words = ["unshare", "--mount", "sh", "-ec", _START, "sh"]
        name = f"shunt-{self.lab.ident}"
        words += [str(self._root), name, str(host.path), self.command_line]
        env = {
            **os.environ,
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        }
        with (self._switch.directory / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        self.wait()

    def reboot(self) -> None:
        """End it, and start it again: what is not on the disk is lost."""
        self.ssh("systemctl poweroff", check=False)
        self._end()
        self.boot()

    def close(self) -> None:
        """End it, and remove the disk."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._end()
        subprocess.run(["umount", str(self._root)], check=True)
        self._root.rmdir()
        self._disk.unlink(missing_ok=True)

    def _end(self) -> None:
        """Wait until it has ended, and unplug it: its namespace keeps the address."""
        if self._process is not None:
            try:
                self._process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        if self._host is not None:
            for number in range(self.cards):
                self._host.ip("link", "del", f"eth{number}")
            self._host = None
